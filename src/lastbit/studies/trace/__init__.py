"""The trace: twins of one training in lock step, and where, when and how far one bit was amplified between them."""
