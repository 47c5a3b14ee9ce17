// An SMSC that is not ours: npm `smpp` (node-smpp). What it does is JSON in the first argument, what it saw is a JSON
// line each on stdout; a JSON line on stdin, `{"deliver": {"from", "to", "text"}}`, has it write to every ESME bound.
"use strict";

const fs = require("fs");
const smpp = require("smpp");
const readline = require("readline");

const config = {
  system_id: "heliograph",
  password: "secret",
  binds: [], // the command_status of the first binds; 0 lets one in
  throttled: 0, // so many submit_sm are answered by ESME_RTHROTTLED first
  answer_ms: 0,
  ids: "decimal", // how a submit_sm_resp writes the id: decimal or hex; a receipt always in ten decimal digits
  receipts: "none", // none, text, tlv, payload (the text in message_payload), early (text, before the answer)
  stat: "DELIVRD",
  cut: [], // the nth session is cut once it has brought so many submit_sm; 0: it is not
  tls: null, // PEM files: {key, cert}
  greeting: [], // deliver_sm written together with the bind_resp: [{from, to, text}, …]
  ...JSON.parse(process.argv[2] || "{}"),
};
const STATES = { DELIVRD: 2, EXPIRED: 3, UNDELIV: 5, REJECTD: 8 };

const bound = new Set();
let binds = 0;
let sessions = 0;
let submits = 0;
let throttled = 0;
let deliveries = 0;

function tell(event, fields) {
  process.stdout.write(JSON.stringify({ event, ...fields }) + "\n");
}

function text(field) {
  return field && field.message ? field.message.toString() : "";
}

function hex(field) {
  return field && field.udh ? Buffer.concat(field.udh).toString("hex") : "";
}

function told(pdu) {
  const fields = {
    source: pdu.source_addr,
    source_ton: pdu.source_addr_ton,
    source_npi: pdu.source_addr_npi,
    destination: pdu.destination_addr,
    destination_ton: pdu.dest_addr_ton,
    destination_npi: pdu.dest_addr_npi,
    esm_class: pdu.esm_class,
    data_coding: pdu.data_coding,
    registered_delivery: pdu.registered_delivery,
    form: "plain",
    text: text(pdu.short_message),
    udh: hex(pdu.short_message),
  };
  if (fields.udh) fields.form = "udh";
  if (pdu.message_payload) Object.assign(fields, { form: "payload", text: text(pdu.message_payload) });
  if (pdu.sar_total_segments !== undefined) {
    const sar = [pdu.sar_msg_ref_num, pdu.sar_total_segments, pdu.sar_segment_seqnum];
    Object.assign(fields, { form: "sar", sar });
  }
  return fields;
}

function deliverSm({ from, to, text }) {
  return new smpp.PDU("deliver_sm", {
    source_addr_ton: 1,
    source_addr_npi: 1,
    source_addr: from,
    destination_addr: to,
    // Left alone, node-smpp calls GSM 03.38 by the number of ASCII, 1.
    data_coding: smpp.encodings.ASCII.match(text) ? 0 : 8,
    short_message: { message: text },
  });
}

function receipt(submit, number) {
  const id = String(number).padStart(10, "0");
  const stamp = new Date().toISOString().replace(/\D/g, "").slice(2, 12);
  const good = config.stat === "DELIVRD";
  const line =
    `id:${id} sub:001 dlvrd:${good ? "001" : "000"} submit date:${stamp} done date:${stamp} ` +
    `stat:${config.stat} err:${good ? "000" : "011"} text:stat:UNDELIV`;
  const fields = {
    source_addr_ton: submit.dest_addr_ton,
    source_addr_npi: submit.dest_addr_npi,
    source_addr: submit.destination_addr,
    destination_addr: submit.source_addr,
    esm_class: smpp.ESM_CLASS.MC_DELIVERY_RECEIPT,
    data_coding: 0,
  };
  if (config.receipts === "tlv") {
    fields.receipted_message_id = id;
    fields.message_state = STATES[config.stat];
    if (!good) fields.network_error_code = Buffer.from([3, 0, 11]);
  } else if (config.receipts === "payload") {
    fields.message_payload = { message: line };
  } else {
    fields.short_message = { message: line };
  }
  return new smpp.PDU("deliver_sm", fields);
}

function serve(session) {
  const nth = sessions++;
  const cutAt = config.cut[nth] || 0;
  let brought = 0;
  let gone = false;
  const open = new Set(); // the destinations of what was not answered

  function answer(pdu, number) {
    if (gone) return;
    open.delete(number);
    if (config.receipts === "early") session.send(receipt(pdu, number));
    const id = config.ids === "hex" ? number.toString(16).toUpperCase() : String(number);
    session.send(pdu.response({ message_id: id }));
    if (["text", "tlv", "payload"].includes(config.receipts)) session.send(receipt(pdu, number));
  }

  for (const command of ["bind_transceiver", "bind_transmitter", "bind_receiver"]) {
    session.on(command, (pdu) => {
      let status = config.binds[binds++] || 0;
      if (!status && pdu.system_id !== config.system_id) status = smpp.ESME_RINVSYSID;
      if (!status && pdu.password !== config.password) status = smpp.ESME_RINVPASWD;
      const { system_id, password, interface_version } = pdu;
      tell("bind", { session: nth, command, status, system_id, password, interface_version });
      if (status) {
        session.send(pdu.response({ command_status: status }));
        session.close();
        return;
      }
      const frames = [pdu.response({ system_id: "node-smpp" }).toBuffer()];
      if (command !== "bind_transmitter") {
        bound.add(session);
        for (const message of config.greeting) {
          const delivery = deliverSm(message);
          delivery.sequence_number = 1_000_000 + ++deliveries;
          frames.push(delivery.toBuffer());
        }
      }
      session.socket.write(Buffer.concat(frames));
    });
  }

  session.on("submit_sm", (pdu) => {
    if (gone) return; // node-smpp goes on with what it has read
    const what = { session: nth, sequence: pdu.sequence_number, ...told(pdu) };
    brought++;
    if (throttled < config.throttled) {
      throttled++;
      tell("throttled", what);
      session.send(pdu.response({ command_status: smpp.ESME_RTHROTTLED }));
    } else {
      const number = ++submits + 9; // 10 and more: decimal and hexadecimal differ
      tell("submit", { ...what, number });
      open.add(number);
      if (config.answer_ms) setTimeout(answer, config.answer_ms, pdu, number);
      else answer(pdu, number);
    }
    if (brought === cutAt) {
      gone = true;
      tell("cut", { session: nth, unanswered: [...open] });
      session.destroy();
    }
  });

  session.on("deliver_sm_resp", (pdu) => {
    tell("delivered", { session: nth, sequence: pdu.sequence_number, status: pdu.command_status });
  });
  session.on("enquire_link", (pdu) => session.send(pdu.response()));
  session.on("unbind", (pdu) => {
    tell("unbind", { session: nth });
    session.send(pdu.response());
    session.close();
  });
  session.on("unknown", (pdu) => {
    tell("surprise", { session: nth, what: `command id ${pdu.command_id}` });
    session.send(pdu.response());
  });
  session.on("generic_nack", (pdu) => {
    tell("surprise", { session: nth, what: `generic_nack ${pdu.command_status}` });
  });
  session.on("error", (error) => tell("error", { session: nth, what: String(error) }));
  session.on("close", () => {
    gone = true;
    bound.delete(session);
    tell("closed", { session: nth });
  });
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { deliver } = JSON.parse(line);
  for (const session of bound) session.send(deliverSm(deliver));
});

const tls = config.tls && { key: fs.readFileSync(config.tls.key), cert: fs.readFileSync(config.tls.cert) };
const server = smpp.createServer(tls || {}, serve);
server.listen(config.port || 0, "127.0.0.1", () => tell("listening", { port: server.address().port }));
process.on("SIGTERM", () => process.exit(0));
