/** Steps that must all be tried, such as those that give back what a program has taken. */

/**
 * Takes the steps in order, each one though others have failed, and throws the first error at the end. Later ones go to
 * `onLater`: they may be consequences of the first.
 */
export async function takeEachStep(
  steps: readonly (() => unknown)[],
  onLater: (error: unknown) => void,
): Promise<void> {
  const failures: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length === 0) return;
  const [first, ...later] = failures;
  for (const error of later) onLater(error);
  throw first;
}
