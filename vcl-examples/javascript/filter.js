// Shows only the lines with some word in them. The word is the argument in VCL.

let word;
// The beginning of a line whose end has not come yet.
let line = "";

function begin(headers, request) {
  if (!headers["content-type"]?.startsWith("text/plain")) {
    return false;
  }
  word = decodeURIComponent(request.argument);
  headers["content-type"] = "text/plain; charset=utf-8";
  headers["x-only"] = request.argument;
}

function chunk(text) {
  const lines = (line + text).split("\n");
  line = lines.pop();
  return lines.filter((it) => it.includes(word)).map((it) => it + "\n").join("");
}

function end() {
  return line.includes(word) ? line + "\n" : "";
}
