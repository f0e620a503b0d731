// A list of rows: it keeps those that stay, and changes only what is new, gone or in another place.

/** `make(request)` makes a row; a row has `id`, `node`, `link`, `select(selected)` and `tick()`. */
export class RowList {
  constructor(list, make, chosen) {
    this.list = list;
    this.make = make;
    this.rows = new Map();
    this.selected = null;
    list.addEventListener("click", (event) => this.clicked(event, chosen));
  }

  // Other clicks are the browser's: open in a new tab, copy the address.
  clicked(event, chosen) {
    const link = event.target.closest("a[data-id]");
    if (link && event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      chosen(link.dataset.id);
    }
  }

  /** Show these requests in this order; `keep` is the id of a row that stays although its request is gone. */
  show(requests, keep = null) {
    const next = new Map(requests.map((request) => [request.id, this.row(request)]));
    const kept = keep !== null && !next.has(keep) && this.rows.get(keep);
    for (const [id, row] of this.rows) {
      if (!next.has(id) && row !== kept) {
        row.node.remove();
      }
    }
    let place = this.list.firstElementChild;
    for (const row of next.values()) {
      if (place === kept?.node && place) {
        place = place.nextElementSibling;
      }
      if (place === row.node) {
        place = place.nextElementSibling;
      } else {
        this.list.insertBefore(row.node, place);
      }
    }
    if (kept) {
      next.set(keep, kept);
    }
    this.rows = next;
    this.select(this.selected);
  }

  row(request) {
    const row = this.rows.get(request.id);
    row?.update?.(request);
    return row ?? this.make(request);
  }

  /** Mark the row of this request, and bring it into sight if that is asked for. */
  select(id, seen = false) {
    if (this.selected !== id) {
      this.rows.get(this.selected)?.select(false);
    }
    this.selected = id;
    const row = this.rows.get(id);
    row?.select(true);
    if (seen) {
      row?.node.scrollIntoView({ block: "nearest" });
    }
  }

  /** The ids of the rows that are shown, in their order. */
  get ids() {
    return [...this.list.children].filter((node) => !node.hidden).map((node) => node.firstElementChild.dataset.id);
  }

  /** The id of the row so many steps from the selected one, or the nearest one; null in an empty list. */
  neighbour(step) {
    const ids = this.ids;
    const at = ids.indexOf(this.selected);
    const to = at < 0 ? (step > 0 ? 0 : ids.length - 1) : at + step;
    return ids[Math.min(ids.length - 1, Math.max(0, to))] ?? null;
  }

  tick() {
    this.rows.forEach((row) => row.tick());
  }

  clear() {
    this.rows.clear();
    this.selected = null;
    this.list.replaceChildren();
  }
}
