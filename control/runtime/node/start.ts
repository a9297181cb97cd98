export const start = { usage: "start", summary: "x", run: async (_words: string[], _terminal: unknown) => 0 };
