// The runtime inside the packaged agent: pinned here by version and by the digest of the file in the npm registry.
export const BUN = "1.4.5";
export const targets = {
  // The baseline build also runs on processors without AVX2, which small home servers have.
  x64: {
    bun: "@oven/bun-linux-x64-baseline",
    target: "bun-linux-x64-baseline",
    integrity: "sha512-s8yMwYcFnnrA178gji0gZbkE2WVDej/Ti1x770oPfihxyRxSMNhGhiAQNXV53aDeraZxksdvKV/RAdQBCd0qPA==",
  },
  arm64: {
    bun: "@oven/bun-linux-aarch64",
    target: "bun-linux-arm64",
    integrity: "sha512-4BXmsSKnjOrlGWqZV4x/oWa7AVoR+B6lCXddMzOAXBIm3t50eslg9wb66gmtW1AamEQ1l1CDvmmruysEhqOWMg==",
  },
};
