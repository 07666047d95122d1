// Judges an implementation in JavaScript by the reference vectors. The format: FORMAT.md. Needs Node 18, nothing else.
//
//     node leakysm_vectors.mjs FILE.json.gz IMPLEMENTATION.mjs
//
// IMPLEMENTATION exports `operations`: {name: {value(arguments, parameters, like), vjp(arguments, dy, parameters, like)}}.
// Arrays are {shape, data}, data a Float32Array or Float64Array, of labels an Int32Array; like(shape) makes one of zeros in
// the dtype that is tested. value gives {y: array}, vjp {dx: array}, and so on: the names are in FORMAT.md.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { gunzipSync } from "node:zlib";

export const FORMAT = 2;
const DTYPES = {
  float32: { eps: 2 ** -23, smallest: 2 ** -126, largest: (2 - 2 ** -23) * 2 ** 127, Data: Float32Array, round: Math.fround },
  float64: { eps: 2 ** -52, smallest: 2 ** -1022, largest: Number.MAX_VALUE, Data: Float64Array, round: (number) => number },
};
const WORDS = { inf: Infinity, "-inf": -Infinity, nan: NaN };
const number = (value) => (typeof value === "string" ? WORDS[value] : value);

/** The cases of a file, by id. Throws if it is damaged, of another format, or without a case. */
export function read(path) {
  const bytes = readFileSync(path);
  const whole = JSON.parse(path.endsWith(".gz") ? gunzipSync(bytes) : bytes);
  if (whole.format !== FORMAT) throw new Error(`${path} has format ${whole.format}; ${FORMAT} is expected`);
  const count = Object.keys(whole.cases).length;
  if (count === 0 || count !== whole.count) throw new Error(`${path} has ${count} cases; ${whole.count || "some"} are expected`);
  return whole.cases;
}

/** An array of the file as an implementation gets it: floats in the dtype, labels as they are. A count is a number. */
function argument(stored, { Data }) {
  if (stored.dtype === "float64") return { shape: stored.shape, data: Data.from(stored.values, number) };
  return stored.shape.length ? { shape: stored.shape, data: Int32Array.from(stored.values) } : stored.values[0];
}

/** Parameters with their numbers rounded to the dtype; a distance is {operation, parameters}. */
function parameters(stored, dtype) {
  const one = (value) => {
    if (value !== null && typeof value === "object") return { ...value, parameters: parameters(value.parameters, dtype) };
    return typeof value === "number" || value in WORDS ? dtype.round(number(value)) : value;
  };
  return Object.fromEntries(Object.entries(stored).map(([name, value]) => [name, one(value)]));
}

/** error / bound of one element, at most 1 where it is right: the rule of FORMAT.md, in its order. */
export function ratio(found, expected, scale, under, reach, k, isGradient, { eps, smallest, largest }) {
  if (Number.isNaN(expected)) return Number.isNaN(found) ? 0 : Infinity;
  if (isGradient && reach > largest) return 0;
  if (!Number.isFinite(expected)) return found === expected ? 0 : Infinity;
  const bound = k * (eps * scale) + under * smallest;
  const mayOverflow = reach > largest || Math.abs(expected) + bound > largest;
  if (mayOverflow && Math.abs(found) === Infinity && Math.sign(found) === Math.sign(expected)) return 0;
  if (!Number.isFinite(found)) return Infinity;
  return found === expected ? 0 : Math.abs(found - expected) / bound;
}

/** The largest error / bound of a result: every element against expected, its alternatives and their interval. */
function largestRatio(found, truth, alternatives, k, isGradient, dtype) {
  const size = truth.expected.values.length;
  const at = (array, i) => number(array.shape.length ? array.values[i] : array.values[0]); // a scalar counts for all
  let largest = 0;
  for (let i = 0; i < size; i++) {
    const reach = at(truth.reach ?? truth.scale, i);
    const value = found.data[i];
    const against = (t, expected) => ratio(value, expected, at(t.scale, i), at(t.under, i), reach, k, isGradient, dtype);
    let best = against(truth, at(truth.expected, i));
    for (let j = i; alternatives && j < alternatives.expected.values.length; j += size) {
      best = Math.min(best, against(alternatives, number(alternatives.expected.values[j])));
    }
    if (alternatives?.least) {
      const [least, most] = [at(alternatives.least, i), at(alternatives.most, i)];
      best = Math.min(best, against(alternatives, !(value > least) ? least : !(value < most) ? most : value));
    }
    largest = Math.max(largest, best);
  }
  return largest;
}

/** Runs every case whose operation is offered, in both dtypes. Gives {cases, comparisons, failures}. */
export function judge(cases, operations) {
  const report = { cases: 0, comparisons: 0, failures: [] };
  for (const [id, stored] of Object.entries(cases)) {
    const operation = operations[id.split("/")[0]];
    if (!operation || stored.own) continue;
    report.cases++;
    for (const name of stored.dtypes.filter((known) => known in DTYPES)) {
      const dtype = DTYPES[name];
      const k = stored.one_way.includes(name) ? "worst" : "usual";
      const like = (shape) => ({ shape, data: new dtype.Data(shape.reduce((product, n) => product * n, 1)) });
      for (const part of ["value", "vjp"].filter((known) => operation[known])) {
        const inputs = Object.fromEntries(Object.entries(stored.arguments).map(([key, a]) => [key, argument(a, dtype)]));
        const settings = parameters(stored.parameters, dtype);
        const results = part === "value" ? operation.value(inputs, settings, like) : operation.vjp(inputs, inputs.dy, settings, like);
        for (const [output, truth] of Object.entries(stored[part])) {
          report.comparisons++;
          const found = results[output];
          const fits = found && found.data instanceof dtype.Data && found.shape.join() === truth.expected.shape.join();
          const alternatives = stored.alternatives?.[name]?.[output];
          const worst = fits ? largestRatio(found, truth, alternatives, truth[k], part === "vjp", dtype) : Infinity;
          if (!(worst <= 1)) report.failures.push(`${id} ${output} in ${name}: ${worst.toPrecision(3)} times the bound`);
        }
      }
    }
  }
  if (report.comparisons === 0) throw new Error("no case was compared; an operation of the file is expected");
  return report;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    if (process.argv.length !== 4) throw new Error("usage: node leakysm_vectors.mjs FILE.json.gz IMPLEMENTATION.mjs");
    const { operations } = await import(pathToFileURL(process.argv[3]).href);
    const report = judge(read(process.argv[2]), operations);
    report.failures.forEach((text) => console.log(text));
    console.log(`${report.cases} cases, ${report.comparisons} comparisons, ${report.failures.length} out of bounds`);
    process.exitCode = report.failures.length ? 1 : 0;
  } catch (problem) {
    console.error(`${process.argv[2] ?? ""}: ${problem.message}`);
    process.exitCode = 2;
  }
}
