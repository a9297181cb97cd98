import type { PlannedSnapshot } from "./run.ts";

/** A forget's decision for each snapshot, in lines for a person. */
export function forgetPlanLines(plan: readonly PlannedSnapshot[]): string[] {
  const going = plan.filter(({ keep }) => !keep).length;
  return [
    ...plan.map(({ snapshot, takenAt, keep, reasons }) => {
      const what = `${keep ? "keep  " : "remove"} ${snapshot.slice(0, 8)}  ${takenAt}`;
      return keep ? `${what}  ${reasons.join(", ")}` : what;
    }),
    `${plan.length - going} to keep, ${going} to remove`,
  ];
}
