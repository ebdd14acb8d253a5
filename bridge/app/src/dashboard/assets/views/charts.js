// The last hour, in four charts. The server keeps the points and sends them in columns' order; what it could not see is null.

import { count, rate, seconds } from "../format.js";
import { chart } from "./chart.js";

/** Points that are further apart than this have a gap between them: nobody looked. In seconds; three of the slow looks. */
const GAP = 50;
const HOUR = 3600;

const OUTCOMES = { applied: "applied", superseded: "superseded", duplicate: "duplicate", dead_letter: "dead-lettered", retried: "retried" };

export function charts(place) {
  let points = [];
  let plots = [];

  /** `[times, one list of values for each series]`, and the times in between at which nobody looked, which have no values. */
  function columns(of, width) {
    const times = [];
    const unwatched = new Set();
    const lists = Array.from({ length: width }, () => []);
    let before = null;
    for (const point of points) {
      if (before !== null && point.at - before > GAP) {
        const between = (point.at + before) / 2;
        unwatched.add(between);
        times.push(between);
        lists.forEach((list) => list.push(null));
      }
      before = point.at;
      times.push(point.at);
      of(point).forEach((value, index) => lists[index].push(value));
    }
    return [[times, ...lists], unwatched];
  }

  const draw = () => {
    const end = points.at(-1)?.at ?? 0;
    // A young page is not an empty one: at least five minutes are shown, at most an hour.
    const start = Math.min(Math.max(points[0]?.at ?? end, end - HOUR), end - 300);
    for (const { of, plot, width } of plots) {
      plot.set(...columns(of, width), start, end);
    }
  };

  return {
    start(history) {
      points = history.points;
      for (const { plot } of plots) {
        plot.end();
      }
      const sites = history.sites;
      const ways = history.ways.map(([from, to]) => `${from} → ${to}`);
      const outcomes = history.outcomes.map((outcome) => OUTCOMES[outcome] ?? outcome);
      const specs = [
        { title: "Lag", series: ways, of: (point) => point.lag, show: seconds, scale: "log", silence: "not heard" },
        { title: "Throughput, by outcome", series: outcomes, of: (point) => point.rates, show: rate, stepped: true },
        { title: "Backlog, messages", series: sites, of: (point) => point.backlog, show: count, whole: true },
        { title: "Age of the oldest that waits", series: sites, of: (point) => point.oldest_age, show: seconds },
      ];
      plots = specs.map((spec) => ({ of: spec.of, width: spec.series.length, plot: chart(spec) }));
      place.replaceChildren(...plots.map(({ plot }) => plot.node));
      draw();
    },
    add(point) {
      if (points.length && points.at(-1).at === point.at) {
        points[points.length - 1] = point;
      } else {
        points.push(point);
        while (points[0].at < point.at - HOUR) {
          points.shift();
        }
      }
      draw();
    },
  };
}
