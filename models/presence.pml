/* First in, last out of a named heap (design 3; code: segment/named.rs `create`, `open`, `remove_if`; presence.rs `appear`, `disappear`, `add`,
   `exit`). A name leads to an object or to none. Each of three processes creates, opens, joins again, leaves or announces its exit; any may
   die at any step (its kernel locks go with it). Nobody calls unlink.

   S1, S2: sessions of processes 1 and 2.
   Checked: all who are present are present in the same object; who creates or opens succeeds only in the object that has the name; what nobody
   uses has no name, once all have left.

   Mutants (-D)        what is wrong
   NO_NAME_CHECK       the name is not looked up again once the gate is shut
   JOIN_AGAIN_BLIND    who has the object mapped and left it joins again if it is not marked as gone, whether it has its name or not
   NO_GONE             who has the object mapped joins again without a look
   LEAVE_UNGATED       the last to leave looks and removes outside of the gate
   STALE_IN_USE        a creator takes an object for stale whose users it has not looked for */
#define NOBJ 4
#ifndef S1
#define S1 2
#endif
#ifndef S2
#define S2 1
#endif
#define NONE 0
byte name = NONE, made;                 /* objects are 1, 2, 3 */
bool magic[NOBJ], gone[NOBJ];
byte gate[NOBJ];                        /* who holds the gate; 0 nobody */
byte here[4];                           /* the object in whose table the process has a locked row that says HERE */
byte in[4];                             /* the object that it works in */
byte fin; bool deaths;

#define USERS(o, but) ((but != 1 && here[1] == o) || (but != 2 && here[2] == o) || (but != 3 && here[3] == o))
#define DIE if :: deaths -> skip :: !deaths -> deaths = true; goto dead :: skip fi
#define SHUT(o) atomic { gate[o] == 0 -> gate[o] = me }
#define OPEN(o) gate[o] = 0
#ifdef NO_NAME_CHECK
#define NAMED(o) true
#else
#define NAMED(o) (name == o)
#endif

inline enter(o) {
  atomic { here[me] = o }
}
inline arrived(o) {
  atomic {
    in[me] = o; mapped = o;
    assert(in[1] == 0 || in[1] == o);
    assert(in[2] == 0 || in[2] == o);
    assert(in[3] == 0 || in[3] == o) }
}

/* remove_if(is_leftover): x = the object that the name led to; kept = it is in use */
inline remove_leftover() {
  kept = false;
  x = name;
  if
  :: x == NONE
  :: else ->
     SHUT(x);
     DIE;
     if
     :: !NAMED(x) -> OPEN(x)
     :: else ->
        if
#ifdef STALE_IN_USE
        :: true -> name = NONE
#else
        :: !magic[x] ->
           if
           :: name = NONE               /* looked the same for 50 ms: its creator is dead, or stopped before it had the gate */
           :: kept = true
           fi
        :: magic[x] && USERS(x, 0) -> kept = true
        :: magic[x] && !USERS(x, 0) -> name = NONE
#endif
        fi;
        DIE;
        OPEN(x)
     fi
  fi
}

inline create() {
  if :: name != NONE -> remove_leftover() :: else fi;
  if
  :: atomic { name == NONE && made < NOBJ - 1 -> made++; o = made; name = o }
     DIE;
     SHUT(o);
     if
     :: !NAMED(o) -> OPEN(o)
     :: else ->
        DIE;
        enter(o);
        DIE;
        magic[o] = true;
        assert(name == o);
        arrived(o);
        DIE;
        OPEN(o)
     fi
  :: name != NONE || made == NOBJ - 1
  fi
}

inline open() {
  o = name;
  if
  :: o == NONE
  :: o != NONE && o == mapped -> join_again(o)
  :: else ->
     SHUT(o);
     DIE;
     if
     :: NAMED(o) && magic[o] && USERS(o, 0) -> enter(o); DIE; arrived(o)
     :: else
     fi;
     OPEN(o)
  fi
}

/* `add`: present again in an object that is still mapped */
inline join_again(w) {
  SHUT(w);
  DIE;
  if
#ifdef NO_GONE
  :: true -> enter(w); arrived(w)
#else
#ifdef JOIN_AGAIN_BLIND
  :: !gone[w] -> enter(w); arrived(w)
#else
  :: !gone[w] && (USERS(w, 0) || name == w) -> enter(w); arrived(w)
#endif
#endif
  :: else
  fi;
  OPEN(w)
}

inline leave() {
  o = in[me];
#ifndef LEAVE_UNGATED
  SHUT(o);
#endif
  DIE;
  in[me] = 0;
  if
  :: here[me] = 0;                      /* disappears: row FREE (and unlocked a little later) */
     x = me
  :: here[me] = 0; x = me               /* exit: row EXITING */
  fi;
  DIE;
  if
  :: !USERS(o, 0) ->
     DIE;
     gone[o] = true;
     DIE;
     if :: name == o -> DIE; name = NONE :: else fi
  :: else
  fi;
  DIE;
#ifndef LEAVE_UNGATED
  OPEN(o)
#endif
}

proctype P(byte me; byte sessions) {
  byte o, x, n, mapped; bool kept;
  do
  :: n == sessions -> break
  :: n < sessions ->
     n++;
     if
     :: create()
     :: open()
     :: mapped != 0 -> join_again(mapped)
     fi;
     if :: in[me] != 0 -> DIE; leave() :: else fi
  od;
  goto stop;
dead:
  atomic {
    here[me] = 0; in[me] = 0;
    o = 1;
    do :: o < NOBJ -> if :: gate[o] == me -> gate[o] = 0 :: else fi; o++ :: else -> break od }
stop:
  fin++
}

init {
  atomic { run P(1, S1); run P(2, S2); run P(3, 1) }
  (fin == 3);
  assert(deaths || name == NONE)
}
