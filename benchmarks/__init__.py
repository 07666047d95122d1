"""The measurements of `leakysm bench`, installed as leakysm_benchmarks: our code and installed libraries, in turns."""
