// An ESME that is not ours: npm `smpp` (node-smpp). What it does is JSON in the first argument, what it saw is a JSON
// line each on stdout. It binds, submits, waits for receipts if it was told to, unbinds and ends.
"use strict";

const smpp = require("smpp");

const config = {
  host: "127.0.0.1",
  port: 2775,
  bind: "bind_transceiver",
  system_id: "esme",
  password: "secret",
  window: 10,
  submits: [], // {to, from, text, form: plain, udh8, udh16, sar or payload}
  receipts: false, // whether a receipt for each part is waited for
  ...JSON.parse(process.argv[2] || "{}"),
};

const UNITS = { udh8: 67, udh16: 66, sar: 70 };

function tell(event, fields) {
  process.stdout.write(JSON.stringify({ event, ...fields }) + "\n");
}

// The pieces of a text in UTF-16 units, no surrogate pair taken apart.
function pieces(text, units) {
  const found = [""];
  for (const character of text) {
    if (found[found.length - 1].length + character.length > units) found.push("");
    found[found.length - 1] += character;
  }
  return found;
}

function parts({ to, from, text, form }, reference) {
  const fields = {
    source_addr_ton: 5,
    source_addr: from || "NODE",
    dest_addr_ton: 1,
    dest_addr_npi: 1,
    destination_addr: to,
    registered_delivery: 1,
    // Left alone, node-smpp calls GSM 03.38 by the number of ASCII, 1.
    data_coding: smpp.encodings.ASCII.match(text) ? 0 : 8,
  };
  if (!UNITS[form]) {
    const message = form === "payload" ? { message_payload: { message: text } } : { short_message: { message: text } };
    return [{ ...fields, ...message }];
  }
  const found = pieces(text, UNITS[form]);
  return found.map((message, at) => {
    const short = { message };
    const whole = { ...fields, short_message: short };
    if (form === "udh8") short.udh = Buffer.from([5, 0, 3, reference, found.length, at + 1]);
    if (form === "udh16") short.udh = Buffer.from([6, 8, 4, 1, reference, found.length, at + 1]);
    if (form !== "sar") return whole;
    const sar = { sar_msg_ref_num: reference, sar_total_segments: found.length, sar_segment_seqnum: at + 1 };
    return { ...whole, ...sar };
  });
}

const waiting = config.submits.flatMap((submit, at) =>
  parts(submit, at + 1).map((fields, part) => ({ fields, message: at, part })),
);
let open = 0;
let awaited = config.receipts ? waiting.length : 0;

const session = smpp.connect({ host: config.host, port: config.port });

function more() {
  while (open < config.window && waiting.length) {
    const { fields, message, part } = waiting.shift();
    open++;
    session.submit_sm(fields, (pdu) => {
      open--;
      tell("answer", { message, part, status: pdu.command_status, id: pdu.message_id });
      more();
    });
  }
  if (!open && !waiting.length && awaited <= 0) {
    session.unbind(() => session.close());
  }
}

session.on("connect", () => {
  const { system_id, password } = config;
  session[config.bind]({ system_id, password, interface_version: 0x34 }, (pdu) => {
    tell("bound", { status: pdu.command_status, system_id: pdu.system_id });
    if (pdu.command_status) session.close();
    else more();
  });
});
session.on("deliver_sm", (pdu) => {
  awaited--;
  tell("deliver", {
    source: pdu.source_addr,
    destination: pdu.destination_addr,
    esm_class: pdu.esm_class,
    text: (pdu.short_message.message || "").toString(),
    receipted_message_id: pdu.receipted_message_id,
    message_state: pdu.message_state,
  });
  session.send(pdu.response());
  more();
});
session.on("enquire_link", (pdu) => session.send(pdu.response()));
session.on("unbind", (pdu) => session.send(pdu.response()));
session.on("error", (error) => tell("error", { what: String(error) }));
session.on("close", () => {
  tell("closed", {});
  process.exit(0);
});
