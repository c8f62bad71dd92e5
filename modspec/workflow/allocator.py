"""Settings of glibc's memory allocator that notebooks and the benchmark run with.

By default glibc returns every large block that is freed, and fetching it again page by page can cost more
than computing with it.
"""

# Environment variables. Blocks over 128 MiB are returned all the same: keeping them fragments memory.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(2**27),
    "MALLOC_TRIM_THRESHOLD_": str(2**36),
    "MALLOC_TOP_PAD_": str(2**26),
}
