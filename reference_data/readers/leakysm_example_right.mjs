// Three operations as leakysm_vectors.mjs calls them. Sums are in float64, so this is right in both dtypes.

/** Distances of rows, leaky if a threshold is given: calls visit(i, j, d) for every pair. */
function squared(x, c, i, j, term) {
  const width = x.shape[1];
  let sum = 0;
  for (let k = 0; k < width; k++) sum += term((x.data[i * width + k] - c.data[j * width + k]) ** 2);
  return sum;
}

function distance({ threshold = Infinity, slope = 1, per = "pair" }) {
  const leak = (d) => (d <= threshold ? d : threshold + slope * (d - threshold));
  const same = (d) => d;
  const perPair = per === "pair";
  return {
    value({ x, c }, _parameters, like) {
      const [rows, columns] = [x.shape[0], c.shape[0]];
      const y = like([rows, columns]);
      for (let i = 0; i < rows; i++)
        for (let j = 0; j < columns; j++) {
          const sum = squared(x, c, i, j, perPair ? same : leak);
          y.data[i * columns + j] = perPair ? leak(sum) : sum;
        }
      return { y };
    },
    vjp({ x, c }, dy, _parameters, like) {
      const [rows, columns, width] = [x.shape[0], c.shape[0], x.shape[1]];
      const [dx, dc] = [new Float64Array(rows * width), new Float64Array(columns * width)];
      for (let i = 0; i < rows; i++)
        for (let j = 0; j < columns; j++) {
          const whole = perPair ? squared(x, c, i, j, same) : 0;
          for (let k = 0; k < width; k++) {
            const difference = x.data[i * width + k] - c.data[j * width + k];
            const factor = (perPair ? whole : difference ** 2) <= threshold ? 1 : slope;
            const term = 2 * factor * difference * dy.data[i * columns + j];
            dx[i * width + k] += term;
            dc[j * width + k] -= term;
          }
        }
      return { dx: stored(like, [rows, width], dx), dc: stored(like, [columns, width], dc) };
    },
  };
}

export function stored(like, shape, numbers) {
  const array = like(shape);
  array.data.set(numbers);
  return array;
}

/** [the loss of row i, its probabilities], from differences to the row's first maximum. */
function row(logits, labels, i) {
  const width = logits.shape[1];
  const z = Array.from(logits.data.subarray(i * width, (i + 1) * width));
  const top = z.reduce((best, value, j) => (value > z[best] || Number.isNaN(value) ? j : best), 0);
  const a = z.map((value) => value - z[top]);
  const powers = a.map(Math.exp);
  const others = powers.reduce((sum, power, j) => (j === top ? sum : sum + power), 0);
  const undefinedRow = Number.isNaN(powers[top]);
  return [Math.log1p(others) - a[labels.data[i]], powers.map((power) => (undefinedRow ? NaN : power / (1 + others)))];
}

export const operations = {
  squared_euclidean: {
    value: (arrays, parameters, like) => distance({}).value(arrays, parameters, like),
    vjp: (arrays, dy, parameters, like) => distance({}).vjp(arrays, dy, parameters, like),
  },
  leaky_squared_euclidean: {
    value: (arrays, parameters, like) => distance(parameters).value(arrays, parameters, like),
    vjp: (arrays, dy, parameters, like) => distance(parameters).vjp(arrays, dy, parameters, like),
  },
  cross_entropy: {
    value({ logits, labels }, _parameters, like) {
      let sum = 0;
      for (let i = 0; i < labels.data.length; i++) sum += row(logits, labels, i)[0] / labels.data.length;
      return { y: stored(like, [], [sum]) };
    },
    vjp({ logits, labels }, dy, _parameters, like) {
      const [rows, width] = logits.shape;
      const dlogits = new Float64Array(rows * width);
      for (let i = 0; i < rows; i++) {
        const label = labels.data[i];
        const p = row(logits, labels, i)[1];
        const rest = p.reduce((sum, value, j) => (j === label ? sum : sum + value), 0);
        p.forEach((value, j) => (dlogits[i * width + j] = ((j === label ? -rest : value) / rows) * dy.data[0]));
      }
      return { dlogits: stored(like, [rows, width], dlogits) };
    },
  },
};
