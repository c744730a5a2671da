// One prediction in words. The PDF says the same by web/serving/sentences.py, from the same strings.

import { has, ofHundred, percent, probability, restOfHundred, say } from "./words.js";

const SPLITS = { val: "result.split_val", "out-of-fold": "result.split_oof" };

/** Return { tone, kicker, headline } of an entry of `predictions`. */
export function headline(entry, model) {
  const { status, decision, label } = entry;
  if (status === "unreadable") {
    const text = say(entry.error === "internal" ? "result.failed" : "result.unreadable");
    return { tone: "refer", kicker: "", headline: text };
  }
  if (status === "refused") return { tone: "refer", kicker: "", headline: say("result.refused") };
  if (decision === "refer") {
    return { tone: "refer", kicker: say("result.decision"), headline: say("result.refer") };
  }
  if (decision === "positive" || decision === "negative") {
    const text = say(`result.${decision}`, { class: model.positive });
    return { tone: decision, kicker: say("result.decision"), headline: text };
  }
  if (model.answers === "sigmoid") {
    const text = label ? label.replaceAll("|", ", ") : say("result.no_labels");
    return { tone: "plain", kicker: say("result.labels"), headline: text };
  }
  return { tone: "plain", kicker: say("result.no_threshold"), headline: label };
}

/** Return the sentences the headline rests on. */
export function reasons(entry, page) {
  const { status, decision } = entry;
  if (status === "unreadable") return has(`error.${entry.error}`) ? [failure(entry.error, page)] : [];
  if (status === "refused") return [say("result.why_refused")];
  const { model } = page;
  const said = decision === "refer" ? [say("result.why_refer")] : [];
  if (decision === "positive" || decision === "negative") {
    const p = probability(entry.probabilities[model.positive]);
    const t = percent(model.threshold.value);
    said.push(say(`result.why_${decision}`, { class: model.positive, p, t }));
  }
  if (model.answers !== "sigmoid" && typeof entry.confidence === "number") {
    said.push(say("result.predicted", { class: entry.label, p: probability(entry.confidence) }));
  }
  return said;
}

/** Return the classes, the positive one first, then the most probable: [{ name, share, threshold }]. */
export function bars(entry, model) {
  const thresholds = thresholdsOf(model);
  return Object.entries(entry.probabilities)
    .filter(([, share]) => typeof share === "number")
    .map(([name, share]) => ({ name, share, threshold: thresholds[name] ?? null }))
    .sort((a, b) => (b.name === model.positive) - (a.name === model.positive) || b.share - a.share);
}

function thresholdsOf(model) {
  const several = Object.entries(model.thresholds ?? {}).map(([name, one]) => [name, one.value]);
  if (several.length) return Object.fromEntries(several);
  return model.threshold && model.positive ? { [model.positive]: model.threshold.value } : {};
}

/** Return a flag's title and meaning; one without words of its own keeps its name. */
export function flag(name) {
  const key = `flag.${name.replace(/\?$/, "")}`;
  return has(key) ? [say(key), say(`${key}_text`)] : [name, say("flag.other_text")];
}

export function setInWords(classes) {
  if (classes.length === 0) return say("result.set_none");
  if (classes.length === 1) return say("result.set_one", { class: classes[0] });
  return say("result.set_many", { classes: classes.join(", ") });
}

/** Return what was measured at the threshold of `positive`, and what that means. */
export function thresholdInWords(threshold, positive) {
  const { achieved_recall: recall, achieved_specificity: specificity } = threshold;
  if (typeof recall !== "number" || typeof specificity !== "number") return [say("result.unmeasured")];
  const split = SPLITS[threshold.split] ? say(SPLITS[threshold.split]) : say("result.split_other", { name: threshold.split });
  const missed = { class: positive, missed: restOfHundred(recall) };
  return [
    say("result.found", { class: positive, found: ofHundred(recall), false: ofHundred(1 - specificity), split }),
    say(recall >= 1 ? "result.missed_none" : "result.missed_some", missed),
    say("result.measured", { sensitivity: percent(recall), specificity: percent(specificity), split }),
  ];
}

/** Return why the server did not answer, from the code of its refusal. */
export function failure(code, page) {
  const key = `error.${code}`;
  return has(key) ? say(key, { mb: page.max_upload_mb }) : say("error.unknown", { code });
}
