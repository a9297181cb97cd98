import type { AssignedBinding, AssignedContract, AssignedRepository, Order } from "../../shared/assignment.ts";
import type { Environment } from "../../shared/environment.ts";
import type { RefusalCode } from "../../shared/report.ts";
import { type Ask, askFor } from "./ask.ts";
import {
  asksOfBinding,
  asksOfContract,
  asksOfEnvironment,
  asksOfRepository,
  asksOfRestoreAsRoot,
  secretFilesOf,
  type ContractContent,
  type EnvironmentContent,
  type ReadPlaces,
  type RepositoryContent,
} from "./asks.ts";
import { checkContract, checkRepository, isWithin, PolicyError } from "./check.ts";
import type { Policy } from "./policy.ts";

/** One thing that the control plane wants this host to have or to do. */
export type Wish =
  | { readonly kind: "contract"; readonly contract: AssignedContract }
  | { readonly kind: "repository"; readonly repository: AssignedRepository }
  | { readonly kind: "binding"; readonly binding: AssignedBinding }
  | ({ readonly kind: "environment" } & EnvironmentContent)
  | { readonly kind: "order"; readonly order: Order };

/** What is known of the host's grants. */
export interface DecideState {
  /** Keys of what root granted: by approval, at the installation, or in files of `contracts.d`. */
  readonly granted: ReadonlySet<string>;
  readonly places: ReadPlaces & {
    /** The agent's own keys and memory. */
    readonly own: readonly string[];
  };
}

export type Decision =
  | { readonly verdict: "allowed" }
  | { readonly verdict: "refused"; readonly code: RefusalCode; readonly message: string }
  | { readonly verdict: "waits"; readonly asks: readonly Ask[] };

/**
 * Whether this host does what the control plane wants: everything that is assigned or ordered is decided here, before
 * it is in force and again when it is used. It reads nothing and changes nothing.
 */
export function decide(policy: Policy, state: DecideState, wish: Wish): Decision {
  try {
    refuseForbidden(policy, state, wish);
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return { verdict: "refused", code: error.refusalCode, message: error.message };
  }
  const asks = asksOf(policy, state, wish).filter(({ key }) => !state.granted.has(key));
  return asks.length === 0 ? { verdict: "allowed" } : { verdict: "waits", asks };
}

/**
 * The keys of everything that a contract of root's own file declares: whatever else is assigned may do the same. To run
 * a restoreCmd as root is granted to that contract alone, since another one could feed it another dump.
 */
export function keysOfDeclared(
  { places }: Pick<DecideState, "places">,
  { body, repository, environment = {} }: DeclaredContent,
): string[] {
  const shared = asksOfRestoreAsRoot(body).length > 0 ? { ...body, restoreUser: null } : body;
  const asks = [
    ...asksOfContract(ASK_ALL, places, shared),
    ...(repository === null ? [] : asksOfRepository(ASK_ALL, places, repository)),
    ...usersOf(shared).flatMap((user) => asksOfEnvironment(ASK_ALL, { environment, user })),
  ];
  return asks.map(({ key }) => key);
}

interface DeclaredContent {
  readonly body: ContractContent;
  readonly repository: RepositoryContent | null;
  /** The secrets for its hooks. */
  readonly environment?: Environment | undefined;
}

function usersOf(body: ContractContent): string[] {
  const { user } = body.request;
  return body.kind === "files" || body.restoreUser === null ? [user] : [user, body.restoreUser];
}

/** Asks for whatever can be asked for. */
const ASK_ALL = {
  level: "ask",
  hooks: "named",
  hookNames: null,
  sources: null,
  services: null,
  repositories: null,
  outgoing: null,
} as Policy;

function refuseForbidden(policy: Policy, { places }: DecideState, wish: Wish): void {
  switch (wish.kind) {
    case "contract":
      checkContract(policy, wish.contract);
      if (wish.contract.kind === "files") {
        for (const source of wish.contract.request.sourceDirectories) refuseOwn(policy, places.own, source);
      }
      return;
    case "repository":
      checkRepository(policy, wish.repository);
      refuseOwnSecrets(places, secretFilesOf(wish.repository), `repository "${wish.repository.name}"`);
      return;
    case "environment":
      if (policy.fault !== null) throw new PolicyError("policy.hooks", policy.fault);
      refuseOwnSecrets(places, filesOf(wish.environment), "hooks");
      return;
    case "order":
      if (wish.order.kind === "restore" && wish.order.from !== null) {
        refuseForbidden(
          policy,
          { granted: new Set(), places },
          { kind: "repository", repository: wish.order.from.repository },
        );
      }
      return;
    case "binding":
      return;
  }
}

/** The agent's own keys are backed up only where root names the very path. */
export function refuseOwn(policy: Policy, own: readonly string[], source: string): void {
  const place = own.find((one) => isWithin(source, one));
  if (place === undefined || policy.sources?.includes(source) === true) return;
  throw new PolicyError("policy.sources", `${source} is the agent's own (${place}) and is not backed up`);
}

/** A file of the agent's own must not reach a storage as a credential, nor a hook. */
function refuseOwnSecrets(
  { own, secrets: allowed }: DecideState["places"],
  files: readonly string[],
  owner: string,
): void {
  const taken = files.find(
    (file) => own.some((place) => isWithin(file, place)) && !allowed.some((place) => isWithin(file, place)),
  );
  if (taken === undefined) return;
  const code = owner === "hooks" ? "policy.hooks" : "policy.repositories";
  throw new PolicyError(code, `${taken} is the agent's own and no secret of ${owner}`);
}

function filesOf(environment: Environment): string[] {
  return Object.values(environment).flatMap((source) => ("file" in source ? [source.file] : []));
}

function asksOf(policy: Policy, { places }: DecideState, wish: Wish): Ask[] {
  switch (wish.kind) {
    case "contract":
      return policy.isDeclared ? [] : asksOfContract(policy, places, wish.contract);
    case "repository":
      return asksOfRepository(policy, places, wish.repository);
    case "binding":
      return asksOfBinding(policy, wish.binding);
    case "environment":
      return asksOfEnvironment(policy, wish);
    case "order":
      return asksOfOrder(policy, places, wish.order);
  }
}

/** A grant for an order is for that one order: its id is part of what is granted. */
function asksOfOrder(policy: Policy, places: ReadPlaces, order: Order): Ask[] {
  if (policy.level === "open" || order.kind !== "restore") return [];
  const { id, restore, from } = order;
  const foreign =
    from === null
      ? []
      : [
          ...asksOfContract(policy, places, from.contract),
          ...asksOfRepository(policy, places, from.repository),
          ...asksOfEnvironment(policy, {
            environment: from.binding.settings.environment ?? {},
            user: from.contract.request.user,
          }),
        ];
  // What another host made may hold anything.
  if (restore.dryRun || (from === null && !restore.delete && policy.level !== "ask")) return foreign;
  const what = restore.include.length === 0 ? "everything" : restore.include.join(", ");
  const where = restore.target === null ? "to where it was" : `to ${restore.target}`;
  const removing = restore.delete ? ", and remove what the snapshot does not have" : "";
  const whose = from === null ? "" : " of another host";
  const summary = `Restore ${what} of snapshot ${restore.snapshot}${whose} ${where}${removing} (once)`;
  return [...foreign, askFor("restore", { order: id, restore }, summary)];
}
