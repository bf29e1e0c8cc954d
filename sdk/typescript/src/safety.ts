// The contract's fence around an email, made here. The service's own, with a nonce and without what is
// hidden, is better: `email.safe()`.

export interface SafeBodyOptions {
  from: string;
  subject: string;
  receivedAt: string;
  injectionRiskScore: number;
  flags: string[];
  bodyText: string;
}

const BEGIN = "--- BEGIN UNTRUSTED EMAIL DATA ---";
const END = "--- END UNTRUSTED EMAIL DATA ---";
const CONTENT_BEGIN = "[EMAIL_CONTENT_START]";
const CONTENT_END = "[EMAIL_CONTENT_END]";

// Also with other blanks and dashes, and with invisible characters between the letters.
const INVISIBLE = /[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]|\udb40[\udc00-\udfff]/g;
const BOUNDARIES = [
  /\[\s*EMAIL[_\s]*CONTENT[_\s]*(?:START|END)\s*\]/gi,
  /[-\u2010-\u2015\u2212]{2,}\s*(?:BEGIN|END)\s+UNTRUSTED\s+EMAIL\s+DATA\s*[-\u2010-\u2015\u2212]{2,}/gi,
];
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g;

/** Formats an email for a language model. Fields cannot end the fence, nor add lines of their own. */
export function buildSafeBodyForLLM(options: SafeBodyOptions): string {
  const { injectionRiskScore: score, flags } = options;
  const risk = score >= 0.7 ? "HIGH" : score >= 0.5 ? "MEDIUM" : "low";
  return [
    BEGIN,
    `From: ${field(options.from)}`,
    `Subject: ${field(options.subject ?? "(no subject)")}`,
    `Date: ${field(options.receivedAt)}`,
    `Injection Risk: ${risk} (${score})`,
    ...(flags.length > 0 ? [`Security Flags: ${flags.map(field).join(", ")}`] : []),
    "",
    CONTENT_BEGIN,
    withoutBoundaries(options.bodyText),
    CONTENT_END,
    END,
  ].join("\n");
}

function field(text: string): string {
  return withoutBoundaries(text.replace(CONTROLS, " "));
}

function withoutBoundaries(text: string): string {
  const visible = text.replace(INVISIBLE, "");
  return BOUNDARIES.reduce((rest, it) => rest.replace(it, "[boundary_stripped]"), visible);
}
