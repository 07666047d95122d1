"""The fixed adversarial cases. Their names are for ever: reference vectors are known by them.

By operation: `distances`, `restricted`, `coordinates`, `loss` (logits and labels), `episode` (prototypes and the losses of distances),
`images` (convolution, pooling, batch norm, the block). By kind, for every operation: `alike`, `batches`, `contrasts`,
`corners`, `cotangents`, `crowds`, `equal`, `magnitudes`, `medleys`, `one_number`, `patterns`, `rare`, and `sizes` with its `size_tables`.
`own_class` has a restriction and a metric that are not leakysm's. `numbers` makes the numbers.

A larger size is a line in `size_tables`; its case is named by its numbers, such as `size-5x5x33x8-squared`. In `episode`
a name begins with the metric's, which also decides whether the case is stored in the reference vectors.
"""
