// One chart: lines told apart by dash as well as by colour, a legend that holds the figures, and a cursor for the keyboard.

import { h, text } from "../dom.js";
import { clock, UNKNOWN } from "../format.js";

const HEIGHT = 190;
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3], [14, 4], [4, 2]];
const COLOURS = 6;
const SVG = "http://www.w3.org/2000/svg";

const dash = (index) => DASHES[index % DASHES.length];

/** A sample of a series' line. */
function swatch(index) {
  const svg = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "line");
  for (const [name, value] of Object.entries({ viewBox: "0 0 28 8", "aria-hidden": "true", class: `swatch series-${(index % COLOURS) + 1}` })) {
    svg.setAttribute(name, value);
  }
  for (const [name, value] of Object.entries({ x1: 0, x2: 28, y1: 4, y2: 4, "stroke-dasharray": dash(index).join(" ") || "none" })) {
    line.setAttribute(name, value);
  }
  svg.append(line);
  return svg;
}

/** Powers of ten alone have a label on a logarithmic axis. */
const powersOfTen = (values) => values.map((value) => (value !== null && Number.isInteger(Math.round(Math.log10(value) * 1e6) / 1e6) ? value : null));

/** Steps of an axis on which only whole numbers mean anything. */
const WHOLE = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7].flatMap((power) => [power, 2 * power, 5 * power]);

export function chart({ title, series, show, scale, silence, stepped, whole }) {
  const figures = series.map(() => h("data"));
  const swatches = series.map((_, index) => swatch(index));
  const legend = h("ul", { class: "legend" }, ...series.map((name, index) => h("li", {}, swatches[index], h("span", {}, name), figures[index])));
  // The style sheet knows the colours, by theme: a canvas has to be told them.
  const seriesColour = (index) => getComputedStyle(swatches[index]).stroke;
  const time = h("span", { class: "time" });
  const canvas = h("div", { class: "canvas", role: "img", tabindex: "0" });
  const node = h("figure", { class: "chart" }, h("figcaption", {}, h("h3", {}, title), time), canvas, legend);
  let data = [[], ...series.map(() => [])];
  let unwatched = new Set();
  let range = [0, 1];
  let plot = null;
  let index = null; // Where the cursor is; null: at the end.

  function showFigures() {
    const last = data[0].length - 1;
    const at = index ?? last;
    text(time, index === null ? "the last 5 s" : clock(data[0][at]));
    const missing = index === null ? UNKNOWN : "no figure";
    const said = figures.map((figure, one) => {
      const value = data[one + 1][at] ?? null;
      const words = value === null ? (silence ?? missing) : show(value);
      text(figure, words);
      return `${series[one]} ${words}`;
    });
    canvas.setAttribute("aria-label", `${title}, ${index === null ? "the last 5 s" : `at ${clock(data[0][at])}`}: ${said.join("; ")}`);
  }

  /** Where a series has points but no figure, a bar along the top says so: a mere gap could be taken for calm. */
  function drawSilence(u) {
    const { ctx, bbox } = u;
    const dpr = devicePixelRatio;
    ctx.save();
    for (let one = 1; one < data.length; one += 1) {
      let start = null;
      for (let point = 0; point <= data[0].length; point += 1) {
        const silent = point < data[0].length && data[one][point] === null && !unwatched.has(data[0][point]);
        if (silent && start === null) {
          start = point;
        } else if (!silent && start !== null) {
          const [from, to] = [start, Math.min(point, data[0].length - 1)].map((edge) => u.valToPos(data[0][edge], "x", true));
          ctx.fillStyle = seriesColour(one - 1);
          ctx.fillRect(Math.max(from, bbox.left), bbox.top + (one - 1) * 6 * dpr, Math.max(to - from, 3 * dpr), 4 * dpr);
          start = null;
        }
      }
    }
    ctx.restore();
  }

  function options() {
    const { color: muted, borderTopColor: grid } = getComputedStyle(time);
    const axis = { stroke: muted, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 4 }, font: "11px system-ui, sans-serif" };
    const y =
      scale === "log"
        ? { distr: 3, range: (_, low, high) => [Math.min(10 ** Math.floor(Math.log10(low ?? 0.01)), 0.01), Math.max(10 ** Math.ceil(Math.log10(high ?? 1)), 1)] }
        : { range: (_, low, high) => [0, Math.max((high ?? 0) * 1.1, whole ? 4 : 1)] };
    return {
      width: Math.max(canvas.clientWidth, 200),
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      scales: { x: { time: true, range: () => range }, y },
      axes: [
        { ...axis, space: 70, size: 28, values: (_, times) => times.map((at) => clock(at).slice(0, 5)) },
        { ...axis, ...(whole ? { incrs: WHOLE } : {}), size: 62, values: (_, values) => values.map((value) => (value === null ? "" : show(value))), ...(scale === "log" ? { filter: (_, splits) => powersOfTen(splits) } : {}) },
      ],
      series: [
        {},
        ...series.map((_, one) => ({
          stroke: seriesColour(one),
          width: 2,
          dash: dash(one),
          ...(stepped ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}),
        })),
      ],
      hooks: { draw: silence ? [drawSilence] : [], setCursor: [(u) => moved(u.cursor.idx)] },
    };
  }

  function moved(to) {
    index = to ?? null;
    showFigures();
  }

  // A logarithm has no zero: what is less than a millisecond is drawn as one. The figures stay what they are.
  const drawn = () => (scale === "log" ? data.map((list, one) => (one === 0 ? list : list.map((value) => (typeof value === "number" ? Math.max(value, 0.001) : value)))) : data);

  function rebuild() {
    plot?.destroy();
    plot = new uPlot(options(), drawn(), canvas);
  }

  function step(event) {
    const last = data[0].length - 1;
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -12, PageDown: 12, Home: -Infinity, End: Infinity };
    if (event.key === "Escape") {
      plot.setCursor({ left: -10, top: -10 });
      return;
    }
    if (!(event.key in moves) || last < 0) {
      return;
    }
    event.preventDefault();
    const first = data[0].findIndex((at) => at >= range[0]);
    const to = Math.min(last, Math.max(first, (index ?? last) + moves[event.key]));
    plot.setCursor({ left: plot.valToPos(data[0][to], "x"), top: 10 });
  }

  canvas.addEventListener("keydown", step);
  canvas.addEventListener("blur", () => plot?.setCursor({ left: -10, top: -10 }));
  addEventListener("themechange", rebuild);
  const resized = new ResizeObserver(() => {
    if (plot && canvas.clientWidth > 0 && Math.abs(plot.width - canvas.clientWidth) > 1) {
      plot.setSize({ width: canvas.clientWidth, height: HEIGHT });
    }
  });
  resized.observe(canvas);

  return {
    node,
    set(columns, gaps, start, end) {
      data = columns;
      unwatched = gaps;
      range = [start, end];
      if (plot) {
        plot.setData(drawn());
      } else {
        rebuild();
      }
      showFigures();
    },
    end() {
      removeEventListener("themechange", rebuild);
      resized.disconnect();
      plot?.destroy();
    },
  };
}
