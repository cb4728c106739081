/** What the gallery puts on a drag: JSON with an asset's `asset` and `name`. */
export const ASSET_DRAG = "application/x-graphengine-asset";
