import { watch } from "node:fs";
import { realpath } from "node:fs/promises";
import { basename, delimiter, dirname } from "node:path";
import { ProviderName } from "../../shared/repository.ts";
import type { Paths } from "../config.ts";
import type { SearchPaths } from "../detect/search-paths.ts";
import { CHILD_PATH } from "../system/executables.ts";
import type { Timers } from "../system/timers.ts";

export interface FactsWatchDeps {
  readonly paths: Pick<Paths, "hooksDir">;
  readonly searchPaths: Pick<SearchPaths, "unitDirectories">;
  readonly timers: Timers;
  /** Facts may be other than before: users, hooks, tools, the time zone. */
  readonly onFacts: () => void;
  /** A service may be new. */
  readonly onServices: () => void;
}

/** Installing a package changes many files, one after another. */
const SETTLE_MS = 1_000;
const OF_FACTS = /^(passwd|localtime|timezone|hostname|os-release)$/;
/** Also those with a version in their name. */
const isEngine = (name: string): boolean => ProviderName.options.some((provider) => name.startsWith(provider));

interface Place {
  readonly directory: string;
  readonly isMeant: (name: string) => boolean;
  readonly onChange: () => void;
}

/**
 * Calls back soon after the kernel reports a change of what the host's facts and the detection of services come from.
 * Where it reports none, the next pull has to do. @returns stops it
 */
export function watchFacts(deps: FactsWatchDeps): () => void {
  const { paths, searchPaths, timers, onFacts, onServices } = deps;
  const cancelSettle = new Map<() => void, () => void>();
  let closers: (() => void)[] = [];
  let isStopped = false;
  const settle = (onChange: () => void): void => {
    cancelSettle.get(onChange)?.();
    if (!isStopped) cancelSettle.set(onChange, timers.after(SETTLE_MS, onChange));
  };
  const hooksMoved = (): void => {
    onFacts();
    void open();
  };
  const places: Place[] = [
    { directory: "/etc", isMeant: (name) => OF_FACTS.test(name), onChange: onFacts },
    { directory: paths.hooksDir, isMeant: () => true, onChange: onFacts },
    {
      directory: dirname(paths.hooksDir),
      isMeant: (name) => name === basename(paths.hooksDir),
      onChange: hooksMoved,
    },
    ...CHILD_PATH.split(delimiter).map((directory) => ({
      directory,
      isMeant: isEngine,
      onChange: onFacts,
    })),
    ...searchPaths.unitDirectories.map((directory) => ({
      directory,
      isMeant: (name: string) => name.endsWith(".service"),
      onChange: onServices,
    })),
  ];
  const open = async (): Promise<void> => {
    const real = await Promise.all(places.map(({ directory }) => realpath(directory).catch(() => null)));
    if (isStopped) return;
    for (const close of closers) close();
    // Several places may be one: /bin is a link on most hosts.
    const byDirectory = Map.groupBy(places, (place) => real[places.indexOf(place)]);
    closers = [...byDirectory].flatMap(([directory, there]) =>
      directory === null || directory === undefined
        ? []
        : (startWatch(directory, (name) => {
            const meant = there.filter(({ isMeant }) => isMeant(name));
            for (const onChange of new Set(meant.map((place) => place.onChange))) settle(onChange);
          }) ?? []),
    );
  };
  void open();
  return () => {
    isStopped = true;
    for (const cancel of cancelSettle.values()) cancel();
    for (const close of closers) close();
  };
}

function startWatch(directory: string, onName: (name: string) => void): (() => void) | null {
  try {
    const watcher = watch(directory, { persistent: false }, (_event, name) => {
      if (name !== null) onName(name);
    });
    watcher.on("error", () => watcher.close());
    return () => watcher.close();
  } catch {
    return null;
  }
}
