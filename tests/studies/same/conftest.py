"""The trainings of the corpus are run by the tests, each in a process of its own, and never imported."""

collect_ignore_glob = ["corpus/*"]
