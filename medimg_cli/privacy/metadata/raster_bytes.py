"""The bytes of an image file, looked at where they lie."""

import mmap

Bytes = bytes | mmap.mmap | memoryview
"""What can be sliced: a file mapped into memory is read only where somebody looks."""
