"""The fixed adversarial cases. Their names are for ever: reference vectors are known by them.

By operation: `distances`, `restricted`, `loss` (logits and labels), `episode` (prototypes and the losses of distances),
`images` (convolution, pooling, batch norm, the block). By kind, for every operation: `batches`, `contrasts`,
`corners`, `cotangents`, `crowds`, `equal`, `magnitudes`, `patterns`, `rare`, and `sizes` with its `size_tables`.
`numbers` makes the numbers.
"""
