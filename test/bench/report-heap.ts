/** Loaded before a program (`node --expose-gc --import`): on SIGUSR2 it collects garbage and prints what is left. */
process.on("SIGUSR2", () => {
  const collect = globalThis.gc;
  if (collect === undefined) throw new Error("start with --expose-gc");
  // Twice: what finalizers let go is collected by the second.
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  console.log(JSON.stringify({ heapBytes: heapUsed + external }));
});
