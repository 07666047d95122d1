"""A run or an experiment as one HTML page without other files, with sliders for threshold and slope.

`report` chooses the page of a folder: `run`, `comparison`, `sweep` or `gradients`. `stored` reads the experiments'
files. The content: `charts` has the curves over the steps, `episodes` the episodes with the net's answers, `effect` the
sliders. The frame: `page` puts sections into `page.html`, and `html` escapes names. How charts look: `page.js` and
`page.css`; `effect.js` computes the formulas as the sliders move.
"""
