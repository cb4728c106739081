import { onDemand } from "../app/lazily";
import { attempt } from "./tell";

// reading and writing pictures is no part of the first view
const files = onDemand(() => import("./files"));

/** Do something with files, once the code for it is there. */
export async function withFiles(work: (part: typeof import("./files")) => void | Promise<void>): Promise<void> {
  await attempt(async () => work(await files()));
}
