"""The fast engine on the CPU: chunks that stay in cache, on threads; the same bits for any number of threads."""
