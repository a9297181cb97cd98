import encodeQR from "qr";

/**
 * The kit as a page to print: its text, and beside each part a QR code that holds that part's lines.
 * @param text the kit, its parts separated by empty lines
 */
export function recoveryPage(text: string): string {
  const [head = "", ...parts] = text.trimEnd().split("\n\n");
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Holdfast recovery kit</title>
<style>
  body { font: 11pt/1.4 system-ui, sans-serif; margin: 15mm; color: #000; background: #fff }
  section { display: flex; gap: 8mm; align-items: flex-start; break-inside: avoid; border-top: 1px solid #999; padding: 4mm 0 }
  pre { font: 9pt/1.4 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; flex: 1 }
  svg { width: 45mm; height: 45mm; flex: none }
</style>
<pre>${escaped(head)}</pre>
${parts.map((lines) => `<section>${encodeQR(lines, "svg")}<pre>${escaped(lines)}</pre></section>`).join("\n")}
</html>
`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
