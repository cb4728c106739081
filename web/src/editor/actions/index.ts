/** What can be done with the graph that is shown; each is one labelled entry of its history. */
export * from "./clipboard";
export * from "./edits";
export * from "./frames";
export * from "./links";
export * from "./probing";
export * from "./selection";
export * from "./subgraphs";
