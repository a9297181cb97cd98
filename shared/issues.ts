/** A Standard Schema issue, with the additional fields of zod's issues. */
export interface RawIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
  readonly code?: string | undefined;
  readonly keys?: readonly string[] | undefined;
  /** Of a union: the issues of each branch. */
  readonly errors?: readonly (readonly RawIssue[])[] | undefined;
}

export interface LeafIssue {
  readonly path: readonly (string | number)[];
  readonly message: string;
  /** The key that the object at `path` must not have; null: the issue is another one. */
  readonly unknownKey: string | null;
}

/** One issue as those a person can act on: of a union, those of the branch that was meant; one per unknown key. */
export function leafIssues(issue: RawIssue): LeafIssue[] {
  const path = (issue.path ?? []).map((part) => toPart(typeof part === "object" ? part.key : part));
  const branch = closestBranch(issue);
  if (branch !== null) {
    return branch.flatMap(leafIssues).map((inner) => ({ ...inner, path: [...path, ...inner.path] }));
  }
  const { code, keys, message } = issue;
  if (code === "unrecognized_keys" && keys !== undefined)
    return keys.map((unknownKey) => ({ path, message, unknownKey }));
  const missing = /^Invalid input: expected (.+), received undefined$/.exec(message)?.[1];
  return [{ path, message: missing === undefined ? message : `is required (${missing})`, unknownKey: null }];
}

/**
 * The issues of the union branch that was most likely meant: the one that knows most of the keys. Null when none comes
 * near; then the issue of the union itself is reported.
 */
function closestBranch({ code, errors = [] }: RawIssue): readonly RawIssue[] | null {
  if (code !== "invalid_union") return null;
  const near = errors.filter((issues) => !issues.some((issue) => issue.code === "invalid_type" && !issue.path?.length));
  return near.toSorted((one, other) => distance(one) - distance(other))[0] ?? null;
}

function distance(issues: readonly RawIssue[]): number {
  return issues.reduce((sum, { keys, path = [], code }) => {
    const isOtherKind = code === "invalid_value" && path.length === 1 && path[0] === "kind";
    return sum + (isOtherKind ? 100 : 60 * (keys?.length ?? 0) + 1);
  }, 0);
}

function toPart(key: PropertyKey): string | number {
  return typeof key === "symbol" ? String(key) : key;
}
