/* Waiting for a message (design 9; code: queue/waiting.rs, the wake of queue/channel.rs). Two takers sleep while the channel is empty; two
   putters put one message each. Sleeps have no time limit here (50 ms in the code), so a lost wake-up is a deadlock.

   Mutants (-D)        what is wrong
   ARM_LATE            the flag is set after the look at the channel
   BELL_LATE           the bell's count is read after the look
   TABLE_LATE          the sleeper enters the table after setting the flag
   RING_ONE            the waker rings the first in the table only
   CLEAR_LATE          the waker clears the flag after ringing
   LOOK_FIRST          the waker looks at the flag before it changes the channel */
byte messages, fin; bool flag, table[3], sleepers[3], asleep[3]; byte bell[3];

proctype Taker(byte me) {
  byte seen; bool got;
again:
  atomic { if :: messages > 0 -> messages--; got = true :: else -> got = false fi };
  if :: got -> goto done :: else fi;
#ifndef TABLE_LATE
  table[me] = true;
#endif
#ifndef BELL_LATE
  seen = bell[me];
#endif
#ifndef ARM_LATE
  flag = true;
#endif
#ifdef TABLE_LATE
  table[me] = true;
#endif
  if :: messages > 0 -> table[me] = false; goto again :: else fi;
#ifdef ARM_LATE
  flag = true;
#endif
#ifdef BELL_LATE
  seen = bell[me];
#endif
  sleepers[me] = true;
  atomic { if :: bell[me] == seen -> asleep[me] = true :: else fi };
  !asleep[me];
  sleepers[me] = false;
  table[me] = false;
  goto again;
done:
  fin++
}

proctype Putter() {
  byte w; bool set;
#ifdef LOOK_FIRST
  set = flag;
  messages++;
#else
  messages++;
  set = flag;
#endif
  if
  :: set ->
#ifndef CLEAR_LATE
     flag = false;
#endif
     w = 1;
     do
     :: w < 3 ->
        if
        :: table[w] -> bell[w]++; if :: sleepers[w] -> asleep[w] = false :: else fi;
#ifdef RING_ONE
           break
#endif
        :: else
        fi;
        w++
     :: else -> break
     od
#ifdef CLEAR_LATE
     ; flag = false
#endif
  :: else
  fi
}

init { atomic { run Taker(1); run Taker(2); run Putter(); run Putter() } (fin == 2) }
