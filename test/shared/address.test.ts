import { expect, test } from "vitest";
import { isLocalAddress, isSameAddress, kindOfAddress } from "../../shared/address.ts";

test.each([
  ["public", "93.184.215.14", "223.255.255.255", "2606:2800:21f:cb07::1", "::ffff:8.8.8.8", "64:ff9b::808:808"],
  ["private", "10.1.2.3", "100.64.0.1", "172.31.0.1", "192.168.1.1", "198.19.0.1", "224.0.0.1", "255.255.255.255"],
  ["private", "::1", "::", "::8.8.8.8", "::808:808", "fe80::1%eth0", "fe80::10.0.0.1%eth0", "fd12::1", "2002:7f00:1::"],
  ["private", "::ffff:10.0.0.1", "::FFFF:a00:1", "0:0:0:0:0:ffff:a00:1", "::ffff:0:10.0.0.1", "64:ff9b::10.0.0.1"],
  ["metadata", "169.254.169.254", "168.63.129.16", "fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"],
] as const)("%s", (kind, ...addresses) => {
  for (const address of addresses) expect([address, kindOfAddress(address)]).toEqual([address, kind]);
});

test("what resolvers and URL don't write is no address", () => {
  const texts = ["", "nas", "10.1", "010.0.0.1", "0x7f.0.0.1", "1.2.3.4.5", "1.2.3.256", "1.2.3.4%eth0", "2130706433"];
  const longTexts = [":", ":::", "1::2::3", "fe80:::1", "::ffff:010.0.0.1", "::0x7f.0.0.1", "1:2:3:4:5:6:7", "g::1"];
  for (const text of [...texts, ...longTexts]) expect([text, kindOfAddress(text)]).toEqual([text, null]);
});

test("two writings of one address are the same, and names are not", () => {
  expect(isSameAddress("10.0.0.1", "::ffff:a00:1")).toBe(true);
  expect(isSameAddress("fd00::1", "FD00:0:0::0:1")).toBe(true);
  expect(isSameAddress("10.0.0.1", "10.0.0.2")).toBe(false);
  expect(isSameAddress("nas", "nas")).toBe(false);
});

test("only loopback and the unspecified address are local", () => {
  for (const text of ["127.9.9.9", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"]) expect(isLocalAddress(text)).toBe(true);
  for (const text of ["10.0.0.1", "fe80::1", "localhost"]) expect(isLocalAddress(text)).toBe(false);
});
