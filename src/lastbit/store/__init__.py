"""A study on disk: one folder that can be copied, resumed, and read without lastbit."""

from lastbit.store.database import LandedCount, RunRecord
from lastbit.store.layout import SCHEMA, DamagedFileError, StorageError, sweep, write_atomically, write_json
from lastbit.store.ledger import CandidateClaim, Ledger, RunClaim, SessionFullError
from lastbit.store.ledger_records import LedgerStatus, RunState
from lastbit.store.ledger_session import Terms
from lastbit.store.run_files import RunFiles, read_arrays, write_arrays
from lastbit.store.study_folder import StudyFolder, is_free

__all__ = [
    "SCHEMA",
    "CandidateClaim",
    "DamagedFileError",
    "LandedCount",
    "Ledger",
    "LedgerStatus",
    "RunClaim",
    "RunFiles",
    "RunRecord",
    "RunState",
    "SessionFullError",
    "StorageError",
    "StudyFolder",
    "Terms",
    "is_free",
    "read_arrays",
    "sweep",
    "write_arrays",
    "write_atomically",
    "write_json",
]
