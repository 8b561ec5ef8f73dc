/* What a transaction saw of a channel (design 8 "a transaction that saw empty, full or a length"; code: queue/party.rs `observe`, `check`,
   `claim`). Two transactions do the same: if the channel is empty, put a message of one's own. A lone putter puts one too.
   -DCROSS: each looks at one of two channels and puts to the other (write skew).

   Checked: who committed having seen "empty" has the first message of that channel, or had it before the other's was there: at most one of
   the two commits.

   Mutants (-D)        what is wrong
   CLAIM_ANYWHERE      step 5 claims the first free place, wherever it is, not the place that the transaction saw as the end
   NO_WORD             the channel's version word is not taken in step 5
   CHECK_EARLY         what was seen is checked before the word is taken    (CROSS)
   NO_CHECK            what was seen is not checked                         (CROSS) */
#ifdef CROSS
#define R(t) (t - 1)
#define W(t) (2 - t)
#else
#define R(t) 0
#define W(t) 0
#endif
#define NP 4
#ifdef CLAIM_ANYWHERE
#define ANYWHERE true
#else
#define ANYWHERE false
#endif
mtype = { EMPTY, PUTTING, FULL, GONE, IDLE, ACTIVE, PREP, COMM, ABRT };
typedef Channel { mtype p[NP]; byte own[NP], msg[NP]; byte owner, ver; bit C };
Channel c[2];
mtype st[4];
bool did[4];
byte fin;

inline end(ch, e) { e = 0; do :: c[ch].p[e] != EMPTY -> e++ :: c[ch].p[e] == EMPTY -> break od }
inline count(ch, l) {
  d_step { l = 0; k = 0;
    do
    :: k < NP -> if :: c[ch].p[k] == FULL || (c[ch].p[k] == PUTTING && st[c[ch].own[k]] == COMM) -> l++ :: else fi; k++
    :: else -> break
    od; k = 0 }
}
/* In step 5. C of another: it may be serialised before us, unless we are the elder and it is over. */
inline check() {
  atomic {
    if
    :: c[r].C && c[r].owner != me ->
       if
       :: me < c[r].owner && st[c[r].owner] != COMM -> st[c[r].owner] = ABRT
       :: else -> goto abort
       fi
    :: else
    fi };
  if :: c[r].ver != v -> goto abort :: else fi;
  end(r, i);
  if :: i != e -> goto abort :: else fi;
  count(r, l);
  if :: l != 0 -> goto abort :: else fi
}

proctype T(byte me; byte r; byte w) {
  byte v, e, l, i, k, at = NP; bool mine;
  st[me] = ACTIVE;
look:
  /* observe: between commits */
  if
  :: atomic { (!c[r].C || st[c[r].owner] == ABRT) -> v = c[r].ver }
  :: st[me] == ABRT -> goto abort
  fi;
  end(r, e);
  count(r, l);
  if :: (c[r].C && st[c[r].owner] != ABRT) || c[r].ver != v -> goto look :: else fi;
  if :: l != 0 -> goto abort :: else fi;
  atomic { if :: st[me] == ACTIVE -> st[me] = PREP :: else -> goto abort fi }
#ifdef CHECK_EARLY
  check();
#endif
#ifndef NO_WORD
word:
  if
  :: atomic { !c[w].C -> c[w].C = 1; c[w].owner = me; mine = true }
  :: atomic { c[w].C && st[c[w].owner] == ABRT -> c[w].C = 0; c[w].owner = 0; c[w].ver++ } goto word
  :: atomic { c[w].C && me < c[w].owner && st[c[w].owner] == PREP -> st[c[w].owner] = ABRT } goto word
  :: st[me] == ABRT -> goto abort
  fi;
#endif
#ifndef CHECK_EARLY
#ifndef NO_CHECK
  check();
#endif
#endif
  /* claim */
  if
  :: r != w || ANYWHERE ->
     i = 0;
     do
     :: atomic { c[w].p[i] == EMPTY -> c[w].p[i] = PUTTING; c[w].own[i] = me; c[w].msg[i] = me; at = i; break }
     :: c[w].p[i] != EMPTY -> i++
     od
  :: else ->
     atomic { if :: c[w].p[e] == EMPTY -> c[w].p[e] = PUTTING; c[w].own[e] = me; c[w].msg[e] = me; at = e :: else -> goto abort fi }
  fi;
  atomic { if :: st[me] == PREP -> st[me] = COMM; did[me] = true :: else -> goto abort fi }
  c[w].p[at] = FULL;
  if :: mine -> atomic { assert(c[w].C && c[w].owner == me); c[w].C = 0; c[w].owner = 0; c[w].ver++ } :: else fi;
  goto stop;
abort:
  st[me] = ABRT;
  if :: at < NP -> c[w].p[at] = GONE :: else fi;
  if :: mine -> atomic { if :: c[w].C && c[w].owner == me -> c[w].C = 0; c[w].owner = 0; c[w].ver++ :: else fi } :: else fi;
stop:
  fin++
}

proctype Lone() {
  byte i;
  do
  :: atomic { c[0].p[i] == EMPTY -> c[0].p[i] = FULL; c[0].msg[i] = 3; break }
  :: c[0].p[i] != EMPTY -> i++
  od;
  fin++
}

init {
  byte i;
  atomic {
    do :: i < NP -> c[0].p[i] = EMPTY; c[1].p[i] = EMPTY; i++ :: else -> break od;
    i = 0;
    do :: i < 4 -> st[i] = IDLE; i++ :: else -> break od;
    i = 0;
    run T(1, R(1), W(1)); run T(2, R(2), W(2)); run Lone() }
  (fin == 3);
  atomic {
    assert(!(did[1] && did[2]));
#ifndef CROSS
    do :: i < NP && c[0].p[i] != FULL -> i++ :: else -> break od;
    if :: did[1] -> assert(c[0].msg[i] == 1) :: did[2] -> assert(c[0].msg[i] == 2) :: else fi;
#endif
    assert(!c[0].C && !c[1].C)
  }
}
