/** `make`, called once for each thing: what it made is kept beside the thing for as long as that lives. */
export function remembered<K extends object, V>(make: (from: K) => V): (from: K) => V {
  const made = new WeakMap<K, { readonly value: V }>();
  return (from) => {
    let kept = made.get(from);
    if (kept === undefined) {
      kept = { value: make(from) };
      made.set(from, kept);
    }
    return kept.value;
  };
}
