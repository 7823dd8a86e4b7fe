/** `npm run interop -- --gigabytes 1`: so much each way between the userspace engine and Linux, whichever opens the connection. */
import { parseArgs } from "node:util";
import { carryBulk } from "./bulk.ts";

const { values } = parseArgs({ options: { gigabytes: { type: "string", default: "1" } } });
const bytes = 1e9 * Number(values.gigabytes);
if (!(bytes > 0)) throw new RangeError(`--gigabytes ${values.gigabytes}: not a number above zero`);
await carryBulk(bytes, ({ name, upSeconds, downSeconds }) => {
  const rate = (seconds: number) => `${((8 * bytes) / seconds / 1e9).toFixed(2)} Gbit/s`;
  process.stdout.write(`${name}: ${bytes} bytes up at ${rate(upSeconds)}, down at ${rate(downSeconds)}\n`);
});
