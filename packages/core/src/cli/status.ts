/** Answers of the admin interface as text for people: nested keys become indented lines, lists of mappings tables. */

/** Renders any JSON object. */
export function renderStatus(answer: object): string {
  return `${renderEntries(answer, "").join("\n")}\n`;
}

function renderEntries(entries: object, indent: string): string[] {
  const width = Math.max(0, ...Object.keys(entries).map((key) => key.length));
  return Object.entries(entries).flatMap(([key, value]: [string, unknown]) => {
    if (isTable(value)) return [`${indent}${key}`, ...renderTable(value, `${indent}  `)];
    if (isCapability(value)) return [`${indent}${key.padEnd(width)}  ${renderCapability(value)}`];
    if (isMapping(value)) return [`${indent}${key}`, ...renderEntries(value, `${indent}  `)];
    return [`${indent}${key.padEnd(width)}  ${renderValue(value)}`];
  });
}

function isCapability(value: unknown): value is { available: boolean; reason?: string } {
  return isMapping(value) && typeof (value as { available?: unknown }).available === "boolean";
}

function renderCapability({ available, reason }: { available: boolean; reason?: string }): string {
  return available ? "yes" : `no: ${reason}`;
}

function renderValue(value: unknown): string {
  if (Array.isArray(value)) return value.map(renderValue).join(", ") || "-";
  if (isMapping(value)) return Object.values(value).map(renderValue).join(" ");
  if (typeof value === "boolean") return value ? "yes" : "no";
  return value === null || value === undefined ? "-" : String(value);
}

function isMapping(value: unknown): value is object {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function isTable(value: unknown): value is object[] {
  return Array.isArray(value) && value.length > 0 && value.every(isMapping);
}

/** Rows with the columns of the first one, each as wide as its widest cell. */
export function renderTable(rows: readonly object[], indent: string): string[] {
  const columns = Object.keys(rows[0] ?? {});
  const cells = [
    columns,
    ...rows.map((row) => columns.map((name) => renderValue((row as Record<string, unknown>)[name]))),
  ];
  const widths = columns.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells.map((row) =>
    `${indent}${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")}`.trimEnd(),
  );
}
