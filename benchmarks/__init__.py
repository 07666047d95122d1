"""What `leakysm bench` measures, installed as leakysm_benchmarks: our code beside what is installed, in turns."""
