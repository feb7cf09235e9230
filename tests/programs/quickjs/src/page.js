class Item {
  constructor(id) {
    this.id = id;
    this.name = `Item ${id} <&>`;
  }
  get price() {
    return ((this.id * 7919) % 1000) / 100;
  }
}

const escape = (text) =>
  String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

function* items(number) {
  for (let i = 0; i < 6; i++) yield new Item(number + i);
}

async function page(number) {
  const list = [...items(number)].sort((a, b) => a.price - b.price);
  const total = await Promise.all(list.map(async (item) => item.price));
  const rows = list.map((item) => `<li>${escape(item.name)}: ${item.price.toFixed(2)}</li>`);
  const sum = total.reduce((a, b) => a + b, 0);
  return `<ul>${rows.join("")}</ul>${JSON.stringify({ number, sum: Math.round(sum * 100) })}`;
}

globalThis.render = (number) => {
  page(number).then((html) => (globalThis.result = html));
};

globalThis.random = () => {
  globalThis.result = String(Math.random());
};
