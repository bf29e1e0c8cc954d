//! What users see of the whole, one file per behaviour.

mod architecture;
mod auto_reply;
mod bounces;
mod configs;
mod corpora;
mod deliveries;
mod dev;
mod flood;
mod isolation;
mod limits;
mod nats_send;
mod openapi;
mod operator;
mod pipeline_in;
mod pipeline_out;
mod quiet_inbox;
mod sdk;
mod send_later;
mod signatures;
mod smtp_source;
mod subjects;
mod submission;
mod survives_kill;
mod survives_kill_outbound;
mod unsubscribe;
mod uploads;
