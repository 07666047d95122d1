// The effect: what a formula makes of an episode's squared distances, their softmax and its gradient.
// Pure functions; page.js shows what they give. leakysm computes the same, and the tests compare the two.
"use strict";

const VANISHED = 1e-3;

// Each formula: a restriction r(d) of a squared distance d, and its derivative; at a kink the left one.
const FORMULAS = {
  "squared-euclidean": { value: (d) => d, derivative: () => 1 },
  leaky: {
    value: (d, t, s) => (d <= t ? d : t + s * (d - t)),
    derivative: (d, t, s) => (d <= t ? 1 : s),
  },
  log: { value: (d, t) => (t === Infinity ? d : t * Math.log1p(d / t)), derivative: (d, t) => 1 / (1 + d / t) },
  root: {
    value: (d, t) => (d <= t ? d : 2 * Math.sqrt(t * d) - t),
    derivative: (d, t) => (d <= t ? 1 : Math.sqrt(t / d)),
  },
  euclidean: { value: (d) => Math.sqrt(d), derivative: (d) => (d > 0 ? 0.5 / Math.sqrt(d) : 0) },
};

// A user's own formula: linear between the distances of a table, `d` from 0 up, `value` and `derivative`.
function tabulated(table) {
  const at = (row) => (d) => {
    let low = 0;
    let high = table.d.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (table.d[middle] <= d) low = middle;
      else high = middle;
    }
    return row[low] + ((row[high] - row[low]) * (d - table.d[low])) / (table.d[high] - table.d[low]);
  };
  return { value: at(table.value), derivative: at(table.derivative) };
}

// One query. squared: its distances to the prototypes; label: its own class.
// Returns the restricted distances, the probabilities, and the gradient of its loss by each restricted distance.
function query(squared, label, formula, t, s) {
  const distances = squared.map((d) => FORMULAS[formula].value(d, t, s));
  const least = Math.min(...distances);
  const weights = distances.map((d) => Math.exp(least - d));
  const total = weights.reduce((sum, w) => sum + w, 0);
  const probabilities = weights.map((w) => w / total);
  const others = probabilities.reduce((sum, p, j) => (j === label ? sum : sum + p), 0);
  const gradients = probabilities.map((p, j) => (j === label ? others : -p));
  const loss = Math.log(total) + distances[label] - least;
  return { distances, probabilities, gradients, loss, nearest: distances.indexOf(least) };
}

// The length of the gradient by the query's embedding. between: the squared distances of the prototypes.
// With w_j = 2 r'(d_j) g_j it is |sum_j w_j (x - c_j)|, and 2 (x - c_i).(x - c_j) = d_i + d_j - |c_i - c_j|^2.
function embeddingGradient(squared, gradients, between, formula, t, s) {
  const w = squared.map((d, j) => 2 * FORMULAS[formula].derivative(d, t, s) * gradients[j]);
  let sum = 0;
  for (let i = 0; i < w.length; i++) {
    for (let j = 0; j < w.length; j++) sum += (w[i] * w[j] * (squared[i] + squared[j] - between[i][j])) / 2;
  }
  return Math.sqrt(Math.max(0, sum));
}

// The figures of a whole episode, as metrics.csv has them; gradients: the size of every entry.
function episode(net, labels, formula, t, s) {
  const queries = net.squared.map((row, i) => query(row, labels[i], formula, t, s));
  const gradients = queries.flatMap((one) => one.gradients.map(Math.abs));
  const mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;
  return {
    queries,
    gradients,
    vanished: mean(gradients.map((g) => (g < VANISHED ? 1 : 0))),
    distance: mean(queries.flatMap((one) => one.distances)),
    certainty: mean(queries.map((one) => Math.max(...one.probabilities))),
    length: mean(
      net.squared.map((row, i) => embeddingGradient(row, queries[i].gradients, net.between, formula, t, s)),
    ),
    loss: mean(queries.map((one) => one.loss)),
    accuracy: mean(queries.map((one, i) => (one.nearest === labels[i] ? 1 : 0))),
  };
}

// How many of the values fall into [10^k, 10^(k+1)) for k from low to -1; what is smaller counts in the first bin.
function byDecade(values, low) {
  const counts = new Array(-low).fill(0);
  for (const value of values) {
    const k = value > 0 ? Math.floor(Math.log10(value)) : low;
    counts[Math.max(0, Math.min(counts.length - 1, k - low))] += 1;
  }
  return counts;
}
