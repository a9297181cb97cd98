import { join } from "node:path";
import { findService } from "../../control/catalog/catalog.ts";
import type { LayoutTemplate } from "../../control/catalog/template.ts";
import type { Layout, ParamValues } from "../../shared/catalog.ts";
import { IS_WHOLE } from "../support/engines.ts";
import { SHAPES, type Shape } from "./shapes.ts";

const LAYOUTS: readonly Layout[] = ["nixos", "debian", "docker"];

/** One walk: a service in one layout, with one choice of its database, and the tool that keeps it. */
export interface Played {
  readonly title: string;
  readonly shape: Shape;
  readonly layout: Layout;
  readonly choices: ParamValues;
  readonly provider: "restic" | "borg";
}

/** As Radarr, or as another with one SQLite file: played as a whole only. */
export const AS_OTHERS: readonly string[] = [
  "sonarr",
  "lidarr",
  "readarr",
  "prowlarr",
  "jackett",
  "karakeep",
  "pinchflat",
];

/** Self Host Blocks' own layout of every service, and one with MariaDB; as a whole, every layout and database. */
export const PLAYED: readonly Played[] = SHAPES.flatMap((shape) =>
  (shape.layouts ?? LAYOUTS).flatMap((layout) => {
    const isUsual = layout === "nixos" || (shape.entry === "nextcloud" && layout === "debian");
    if (!isUsual && !IS_WHOLE) return [];
    if (AS_OTHERS.includes(shape.entry) && !IS_WHOLE) return [];
    const choices = choicesOf(templateOf(shape.entry, layout), layout);
    return (IS_WHOLE ? choices : choices.slice(0, 1)).flatMap((choice) =>
      providersOf(shape, layout).map((provider) => ({
        title: [shape.entry, layout, ...Object.entries(choice).map((one) => one.join(" ")), provider].join(", "),
        shape,
        layout,
        choices: choice,
        provider,
      })),
    );
  }),
);

/** borg keeps one with SQLite too; as a whole, also one with a server. */
function providersOf({ entry }: Shape, layout: Layout): Played["provider"][] {
  const isWithBorg = layout === "nixos" && (entry === "grocy" || (entry === "vaultwarden" && IS_WHOLE));
  return isWithBorg ? ["restic", "borg"] : ["restic"];
}

/** What its choices can say. What runs in a container is left to `server.test.ts`: there is none here. */
function choicesOf({ params }: LayoutTemplate, layout: Layout): ParamValues[] {
  const isInContainer = params.some(({ kind }) => kind === "container");
  const [choice, ...more] = params.filter(({ kind }) => kind === "choice");
  if (more.length > 0) throw new Error("which of them together?");
  if (choice === undefined) return isInContainer && layout === "docker" ? [] : [{}];
  const values = choice.choices.filter((value) => !isInContainer || value === "sqlite");
  return values.map((value) => ({ [choice.name]: value }));
}

/** Values of its parameters: each directory is below `base`, where the layout has it. */
export function paramsOf({ shape, layout, choices }: Played, base: string, user: string): ParamValues {
  const values = templateOf(shape.entry, layout).params.flatMap(({ name, kind, default: usual }) => {
    if (kind === "path") return [[name, join(base, usual ?? `given/${name}`)]];
    if (kind === "user") return [[name, user]];
    return usual === null ? [[name, "unused"]] : [];
  });
  return { ...Object.fromEntries(values), ...choices };
}

export function templateOf(entry: string, layout: Layout): LayoutTemplate {
  const service = findService(entry);
  if (service === null) throw new Error(`no ${entry}`);
  return service.layouts[layout];
}
