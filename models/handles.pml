/* Handles against the collector (design 7 "Handles", "Handshake", "Barrier"; code: txn/handles.rs `publish`, txn/handle_ops.rs `read_handle`;
   the collector's side is the design's). The second of the parent's cells refers to object X. A reader reads the cells, publishes a
   handle, validates the parent; a writer takes the reference out, or moves it to the first cell; a collector runs one cycle: phase, handshake,
   handles, cells in their order, sweep. A second reader dereferences a weak reference to X: publish, shade, bump X's version.

   Checked: nobody has a handle, validated, to an object that has been swept.

   Mutants (-D)        what is wrong
   PUBLISH_LATE        the parent is validated before the handle is published
   NO_SHADE            a store does not shade
   NO_HANDSHAKE        the collector does not wait for single operations that began before its phase
   PHASE_EARLY         the writer looks at the phase before its status says DIRECT
   DEREF_NO_BUMP       deref does not change the version of X
   DEREF_NO_SHADE      deref does not shade X
   SWEEP_BLIND         the sweeper frees without comparing the version that it saw unmarked */
bool first, second = true;              /* the parent's cells refer to X */
bit C; byte ver;                        /* the parent's word */
bool phase, direct;
bool handle, handle2;                   /* entries of the two readers */
bool marked, freed; byte xver;          /* of X */

proctype Reader() {
  byte v; bool found;
again:
  atomic { !C -> v = ver };
  found = first;
  if :: !found -> found = second :: else fi;
  if
  :: found ->
#ifdef PUBLISH_LATE
     if :: C || ver != v -> goto again :: else fi;
     handle = true;
#else
     handle = true;
     if :: C || ver != v -> handle = false; goto again :: else fi;
#endif
     /* validated: from now on it is used */
     assert(!freed);
     skip;
     assert(!freed)
  :: else
  fi
}

proctype Writer() {
  bool marking, move; byte v;
  if :: move = true :: skip fi;
#ifdef PHASE_EARLY
  marking = phase;
#endif
  direct = true;
  atomic { C = 1; v = ver };
#ifndef PHASE_EARLY
  marking = phase;
#endif
#ifndef NO_SHADE
  if :: marking -> marked = true :: else fi;
#endif
  if :: move -> first = true :: else fi;
  second = false;
  atomic { C = 0; ver = v + 1 };
  direct = false
}

proctype Collector() {
  byte v;
  phase = true;
#ifndef NO_HANDSHAKE
  !direct;
#endif
  if :: handle -> marked = true :: else fi;
  if :: handle2 -> marked = true :: else fi;
  /* trace the parent, which is a root */
  if :: first -> marked = true :: else fi;
  if :: second -> marked = true :: else fi;
  /* sweep: the version first, then the mark, then one CAS */
  v = xver;
  if
  :: !marked ->
#ifdef SWEEP_BLIND
     freed = true
#else
     atomic { if :: xver == v -> freed = true; xver++ :: else fi }
#endif
  :: else
  fi
}

proctype Deref() {
  bool alive;
  handle2 = true;
#ifndef DEREF_NO_SHADE
  marked = true;
#endif
#ifdef DEREF_NO_BUMP
  alive = !freed;
#else
  /* a single operation: fails on a free block */
  atomic { if :: !freed -> xver++; alive = true :: else -> alive = false fi };
#endif
  if
  :: alive ->
     assert(!freed);
     skip;
     assert(!freed)
  :: else -> handle2 = false
  fi
}

init { atomic { run Reader(); run Writer(); run Collector(); run Deref() } }
