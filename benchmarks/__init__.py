"""The measurements of `leakysm bench`, installed as leakysm_benchmarks: our code and installed libraries, in turns.

`train_step` (on the CPU) and `gpu`, with `torch_conv4` as PyTorch's step and `step_sizes` of episodes; `distance`,
`classes`, `evaluation`, `loading`, `memory`, `startup`, and `waits` for whole commands. `turns` lets the contenders
take turns, and `report` makes the lines of text.
"""
