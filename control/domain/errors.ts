import { Failure, type Issue, type NamedNoun, type Noun, type UsedNoun } from "../../shared/failure.ts";
import { violatedUniqueColumns } from "../db/transaction.ts";

const SINGULAR: Record<Noun, string> = {
  hosts: "host",
  contracts: "contract",
  repositories: "repository",
  bindings: "binding",
  runs: "run",
  snapshots: "snapshot",
  channels: "channel",
  deliveries: "delivery",
  tokens: "token",
  enrollments: "enrolment",
  catalog: "catalogue entry",
  proposals: "proposal",
  incidents: "incident",
};

export function notFound(noun: Noun, id: string): Failure {
  return new Failure(`${noun}.not_found`, `there is no ${SINGULAR[noun]} ${id}`);
}

/** A 400 error with one issue. @param path where in the request */
export function invalidRequest(path: Issue["path"], message: string): Failure {
  return new Failure("request.invalid", `${path.join(".")}: ${message}`, [{ path, message }]);
}

/** Awaits a write. Throws `<noun>.name_taken` when it failed because the name is in use. */
export async function throwIfNameTaken<T>(noun: NamedNoun, name: string, write: Promise<T>): Promise<T> {
  try {
    return await write;
  } catch (error) {
    if (!violatedUniqueColumns(error).includes(`${noun}.name`)) throw error;
    const message = `another ${SINGULAR[noun]} is called "${name}"; choose another name`;
    throw new Failure(`${noun}.name_taken`, message, [{ path: ["name"], message }]);
  }
}

/** The error for changing an object that a file on the host declares. */
export function declaredOnHost(noun: "contracts" | "bindings" | "repositories", name: string): Failure {
  return new Failure(
    `${noun}.declared_on_host`,
    `${SINGULAR[noun]} "${name}" is declared by a file in its host's contracts.d; change or remove that file`,
  );
}

export interface Dependent {
  noun: Noun;
  id: string;
  name: string;
}

/** Throws `<noun>.in_use` when the object to be deleted has dependents. */
export function throwIfInUse(noun: UsedNoun, name: string, dependents: readonly Dependent[]): void {
  if (dependents.length === 0) return;
  throw new Failure(
    `${noun}.in_use`,
    `${SINGULAR[noun]} "${name}" is still used; delete or finish what uses it first`,
    dependents.map((dependent) => ({
      path: [dependent.noun, dependent.id],
      message: `used by ${SINGULAR[dependent.noun]} "${dependent.name}" (${dependent.id})`,
    })),
  );
}
