// An unmeasured cell stands last whichever way a column is sorted.
const measured = sign => (a, b) => (a === "" ? b === "" ? 0 : 1 : b === "" ? -1 : sign * (a - b));
const library = document.getElementById("library").textContent;
const url = URL.createObjectURL(new Blob([library], { type: "text/javascript" }));
const { default: DataTable } = await import(url);
URL.revokeObjectURL(url);
DataTable.type("measured", { order: { asc: measured(1), desc: measured(-1) } });
const rows = document.querySelectorAll("#leaderboard tbody tr").length;
const board = new DataTable("#leaderboard", {
  autoWidth: false,
  order: [],
  orderMulti: false,
  paging: rows > 50,
  pageLength: 50,
  lengthMenu: [50, 200, { label: "all", value: -1 }],
  columnDefs: [
    { targets: "number", type: "measured", orderSequence: ["desc", "asc"] },
    { targets: "hidden", visible: false },
    { targets: "plain", orderable: false, searchable: false },
  ],
  layout: { topStart: "search", topEnd: null, bottomStart: rows > 50 ? "info" : null, bottomEnd: rows > 50 ? "paging" : null },
  language: {
    search: "Search",
    info: "_START_ to _END_ of _TOTAL_ configurations",
    infoEmpty: "no configuration",
    infoFiltered: "(of _MAX_)",
    zeroRecords: "No configuration matches.",
  },
});
for (const box of document.querySelectorAll("[data-column]")) {
  box.addEventListener("change", () => board.column(box.dataset.column).visible(box.checked));
}
