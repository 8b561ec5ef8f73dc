//! The Node addon: raw calls on small integer handles, described in `js/port.ts`. It converts and decides nothing.
//!
//! | module | holds |
//! | --- | --- |
//! | `js` | the few Node-API functions that we use |
//! | `environment` | the heaps of one JavaScript thread, and their end |
//! | `registration` | the exports, the making of a port object |
//! | `port` | one heap in one thread: state words, entering a call |
//! | `live` | what is there while the heap is open |
//! | `staging` | the buffer for values in the wire format |
//! | `wrappers` | object → handle and wrapper, the clock hand |
//! | `pins` | handles that are published while an operation runs |
//! | `convert`, `text`, `keys` | values between JavaScript and cells |
//! | `batch` | messages that wait for room in a channel |
//! | `calls_…` | the calls of a port, one file a kind of object |
//! | `waiter` | the thread that sleeps for promises |
//! | `deaths` | telling of participants that have died |

mod batch;
mod calls_array;
mod calls_channel;
mod calls_map;
mod calls_port;
mod calls_record;
mod calls_tx;
mod calls_value;
mod convert;
mod deaths;
mod environment;
mod js;
mod keys;
mod live;
mod pins;
mod port;
mod registration;
mod staging;
mod text;
mod waiter;
mod wrappers;
