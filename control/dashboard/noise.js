// What is left of the differences when noise is taken out. From counters alone the number of such
// pairs is known only between two bounds; the page shows the upper one, as the gates use it.

/** Pairs of a method that differ in a field that is not noisy, at most: `{ pairs, exact }`. */
export function differing(method) {
  const { mismatched } = method.pairs;
  const sum = (noisy) =>
    method.fields
      .filter((field) => field.noisy === noisy)
      .reduce((all, field) => all + field.pairs, 0);
  const noise = sum(true);
  const real = sum(false);
  // Fields don't explain all mismatches (a list that was cut, say): then none is called noise.
  if (noise === 0 || noise + real < mismatched) return { pairs: mismatched, exact: true };
  const most = Math.min(real, mismatched);
  const worst = Math.max(0, ...method.fields.map((field) => (field.noisy ? 0 : field.pairs)));
  const fewest = Math.min(mismatched, Math.max(worst, mismatched - noise));
  return { pairs: most, exact: most === fewest };
}

/** The same over all methods, with the pairs compared. */
export function differingInAll(methods) {
  const sum = { pairs: 0, compared: 0, exact: true };
  for (const method of methods) {
    const one = differing(method);
    sum.pairs += one.pairs;
    sum.compared += method.pairs.compared;
    sum.exact &&= one.exact;
  }
  return sum;
}
