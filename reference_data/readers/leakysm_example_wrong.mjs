// Three usual mistakes, which leakysm_vectors.mjs must find: the expanded square, a gradient without the slope, and p - 1.
import { operations as right, stored } from "./leakysm_example_right.mjs";

export const operations = {
  squared_euclidean: {
    ...right.squared_euclidean,
    value({ x, c }, _parameters, like) {
      const [rows, columns, width] = [x.shape[0], c.shape[0], x.shape[1]];
      const dot = (a, i, b, j) => {
        let sum = 0;
        for (let k = 0; k < width; k++) sum += a.data[i * width + k] * b.data[j * width + k];
        return sum;
      };
      const y = like([rows, columns]);
      for (let i = 0; i < rows; i++)
        for (let j = 0; j < columns; j++) y.data[i * columns + j] = dot(x, i, x, i) - 2 * dot(x, i, c, j) + dot(c, j, c, j);
      return { y };
    },
  },
  leaky_squared_euclidean: {
    ...right.leaky_squared_euclidean,
    vjp: right.squared_euclidean.vjp,
  },
  cross_entropy: {
    ...right.cross_entropy,
    vjp({ logits, labels }, dy, _parameters, like) {
      const [rows, width] = logits.shape;
      const gradient = like([rows, width]);
      for (let i = 0; i < rows; i++) {
        const z = Array.from(logits.data.subarray(i * width, (i + 1) * width));
        const powers = z.map((value) => Math.exp(value - Math.max(...z)));
        const sum = powers.reduce((total, power) => total + power, 0);
        powers.forEach((power, j) => {
          gradient.data[i * width + j] = ((power / sum - (j === labels.data[i] ? 1 : 0)) / rows) * dy.data[0];
        });
      }
      return { dlogits: gradient };
    },
  },
};
