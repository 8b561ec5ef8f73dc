/* Read-only members of a read set, write skew, single operations, snapshot readers, the clock (design 5; code: txn/validate.rs, commit.rs,
   direct.rs, core.rs). x = o[0], y = o[1]. T1: y := x + 1.  T2: x := y + 1.  D: single operation x := x + 10.  R: a read-only snapshot of both.
   NO_D, NO_R leave one out. CLK=1: single operations advance the clock too; 5: they only read it, readers advance it (as in the code).
   Checked: a snapshot is one of the states between two decisions, in their order; the end is the last of them; nothing stays locked.

   Mutants (-D)        what is wrong
   RELOAD=0            a verdict on a word and its owner's status is not confirmed by loading the word again
   VAL=0               validation compares versions only, not the changing bit
   DST=0               a single operation with status IDLE
   DLK=2, DLK=3        a store without the changing bit: before, after the new version */
#ifndef RELOAD
#define RELOAD 1
#endif
#ifndef VAL
#define VAL 1      /* 0: validation compares versions only; 1: also the changing bit */
#endif
#ifndef CLK
#define CLK 5      /* 1: everybody fetch_adds; 5: direct op does not touch the clock, readers advance it; 6: as 5 but readers do not advance past clk */
#endif
#ifndef DST
#define DST 1      /* 1: status DIRECT before the CAS; 0: status stays IDLE (mutant) */
#endif
#ifndef DLK
#define DLK 1      /* 1: changing bit around the store; 2: store then bump; 3: bump then store; 4: no bump */
#endif
#ifndef DW
#define DW 0       /* direct op wounds ACTIVE/PREP owners instead of waiting */
#endif
mtype={IDLE,ACTIVE,PREP,COMM,ABRT,DIRECT};
typedef Obj{byte owner;byte tg;bit C;byte ver;byte val};
Obj o[2]; mtype st[5]; byte seq[5]; byte wvv[5]; byte clk=0;
byte gx[5], gy[5]; byte gn=0; byte ndone=0; bit ddead=0; bit dstored=0;
#define MINE(k) (o[k].owner==me && o[k].tg==seq[me])
#define MAX(a,b) (a>b->a:b)
inline ghost(pa,pb){ gx[gn+1]=pa; gy[gn+1]=pb; gn++ }
proctype T(byte me; byte r; byte w){ byte vi,j,q,qs,rv,v,a,sv,wv,n=0; mtype s;
restart: n++; if :: n>2 -> goto stop :: else fi;
  atomic{ st[me]=ACTIVE; seq[me]++; rv=clk }
rd: if :: st[me]==ABRT -> goto abort :: else fi;
  atomic{ v=o[r].ver; q=o[r].owner; qs=o[r].tg; s=IDLE; if :: o[r].C && q!=me -> s=COMM :: else fi }
  if :: s==COMM -> if :: atomic{ o[r].C==0 || o[r].owner!=q || st[q]==ABRT } -> 
          atomic{ if :: o[r].owner==q && o[r].tg==qs && o[r].C && st[q]==ABRT && seq[q]==qs -> o[r].owner=0; o[r].C=0 :: else fi }
        :: st[me]==ABRT fi; goto rd
     :: else fi;
  a=o[r].val;
  if :: atomic{ o[r].ver!=v || (o[r].C && o[r].owner!=me) } -> goto rd :: else fi;
  if :: v>rv -> 
#if CLK==5
     atomic{ clk=MAX(clk,v) }
#endif
     rv=clk;
#if CLK==6
     if :: v>rv -> goto got :: else fi;
#endif
     goto rd
     :: else fi;
got:
res: if :: st[me]==ABRT -> goto abort :: else fi;
  if :: atomic{ o[w].owner==0 -> o[w].owner=me; o[w].tg=seq[me]; o[w].C=0; sv=o[w].ver }
     :: else -> atomic{ q=o[w].owner; qs=o[w].tg; s=st[q]; if :: seq[q]!=qs -> s=ABRT :: else fi; if :: s==IDLE -> s=ABRT :: else fi }
        if :: q==0 -> skip
           :: q!=0 && s==ABRT -> atomic{ if :: o[w].owner==q && o[w].tg==qs -> o[w].owner=me; o[w].tg=seq[me]; o[w].C=0; sv=o[w].ver; goto reserved :: else fi }
           :: q!=0 && (s==ACTIVE||s==PREP) && me<q -> atomic{ if :: seq[q]==qs && (st[q]==ACTIVE||st[q]==PREP) -> st[q]=ABRT :: else fi }
           :: q!=0 && s!=ABRT && !((s==ACTIVE||s==PREP) && me<q) -> (o[w].owner!=q || seq[q]!=qs || st[q]==ABRT || st[q]==IDLE || st[me]==ABRT)
        fi; goto res
  fi;
reserved:
  atomic{ if :: st[me]==ACTIVE -> st[me]=PREP :: else -> goto abort fi }
  atomic{ if :: MINE(w) && o[w].C==0 && o[w].ver==sv -> o[w].C=1 :: else -> goto abort fi }
  atomic{ clk++; wv=clk }
#if CLK!=1
  wv=MAX(wv,sv+1);
#endif
  wvv[me]=wv;
val: atomic{ vi=gn; q=o[r].owner; qs=o[r].tg; s=IDLE; if :: o[r].ver!=v -> goto abort :: else fi;

#if VAL==1
     if :: o[r].C && q!=me -> s=COMM :: else fi
#endif
     }
  if :: s==COMM -> atomic{ s=st[q]; if :: seq[q]!=qs -> s=ABRT :: else fi } :: else fi;
#if RELOAD==1
  if :: s==ABRT||s==IDLE -> if :: atomic{ q!=0 && (o[r].ver!=v || (o[r].C && (o[r].owner!=q || o[r].tg!=qs))) } -> goto abort :: else fi :: else fi;
#endif
  if :: s==COMM || s==DIRECT -> goto abort
     :: s==PREP && me<q -> atomic{ if :: seq[q]==qs && st[q]==PREP -> st[q]=ABRT :: else fi } goto val
     :: s==PREP && me>q -> goto abort
     :: else fi;
  atomic{ if :: st[me]==PREP -> st[me]=COMM; 
     j=gn+1; do :: j>vi -> gx[j]=gx[j-1]; gy[j]=gy[j-1]; if :: w==1 -> gy[j]=a+1 :: else -> gx[j]=a+1 fi; j-- :: else -> break od; gn++
     :: else -> goto abort fi }
  o[w].val=a+1;
  atomic{ o[w].ver=wvv[me]; o[w].owner=0; o[w].C=0 }
  atomic{ st[me]=IDLE; seq[me]++; ndone++ } goto stop;
abort: atomic{ st[me]=ABRT } atomic{ if :: MINE(w) -> o[w].owner=0; o[w].C=0 :: else fi } goto restart;
stop: skip }
proctype D(byte me){ byte q,qs,t,ov; mtype s;
#if DLK==1
#if DST==1
  st[me]=DIRECT;
#endif
lk: if :: atomic{ o[0].owner==0 -> o[0].owner=me; o[0].tg=seq[me]; o[0].C=1; ov=o[0].ver }
     :: else -> atomic{ q=o[0].owner; qs=o[0].tg; s=st[q]; if :: seq[q]!=qs -> s=ABRT :: else fi; if :: s==IDLE -> s=ABRT :: else fi }
        if :: q==0 -> skip
           :: q!=0 && s==ABRT -> atomic{ if :: o[0].owner==q && o[0].tg==qs -> o[0].owner=me; o[0].tg=seq[me]; o[0].C=1; ov=o[0].ver; goto got :: else fi }
#if DW==1
           :: q!=0 && (s==ACTIVE||s==PREP) -> atomic{ if :: seq[q]==qs && (st[q]==ACTIVE||st[q]==PREP) -> st[q]=ABRT :: else fi }
           :: q!=0 && s!=ABRT && s!=ACTIVE && s!=PREP -> (o[0].owner!=q || seq[q]!=qs || st[q]==ABRT||st[q]==IDLE)
#else
           :: q!=0 && s!=ABRT -> (o[0].owner!=q || seq[q]!=qs || st[q]==ABRT||st[q]==IDLE)
#endif
        fi; goto lk fi;
got: t=o[0].val; o[0].val=t+10;
#if CLK==1
  atomic{ clk++; t=clk }
#else
  t=clk; t=MAX(t,ov)+1;
#endif
  atomic{ o[0].ver=t; o[0].owner=0; o[0].C=0; ghost(o[0].val,gy[gn]) }
  st[me]=IDLE;
#elif DLK==2
  atomic{ o[0].val=o[0].val+10 } /* store visible before the bump */
  atomic{ clk++; if :: o[0].C==0 -> o[0].ver=clk :: else fi; ghost(gx[gn]+10,gy[gn]) }
#elif DLK==3
  atomic{ clk++; o[0].ver=clk }
  atomic{ o[0].val=o[0].val+10; ghost(gx[gn]+10,gy[gn]) }
#else
  atomic{ o[0].val=o[0].val+10; ghost(gx[gn]+10,gy[gn]) }
#endif
  ndone++ }
proctype R(){ byte rv,v0,v1,a,b,g0,i; bit ok;
again: g0=gn; rv=clk;
r0: atomic{ o[0].C==0; v0=o[0].ver } a=o[0].val; if :: atomic{ o[0].C || o[0].ver!=v0 } -> goto r0 :: else fi;
  if :: v0>rv -> 
#if CLK==5
    atomic{ clk=MAX(clk,v0) }
#endif
    rv=clk; 
#if CLK==6
    if :: v0>rv -> goto r1 :: else fi;
#endif
    goto r0 :: else fi;
r1: atomic{ o[1].C==0; v1=o[1].ver } b=o[1].val; if :: atomic{ o[1].C || o[1].ver!=v1 } -> goto r1 :: else fi;
  if :: v1>rv ->
#if CLK==5
    atomic{ clk=MAX(clk,v1) }
#endif
    rv=clk; if :: atomic{ o[0].C || o[0].ver!=v0 } -> goto again :: else fi; 
#if CLK==6
    if :: v1>rv -> goto fin :: else fi;
#endif
    goto r1 :: else fi;
fin: ok=0; i=g0; do :: i<=gn -> if :: gx[i]==a && gy[i]==b -> ok=1; break :: else fi; i++ :: else -> break od;
  assert(ok) }
init{ atomic{ st[0]=IDLE;st[1]=IDLE;st[2]=IDLE;st[3]=IDLE; run T(1,0,1); run T(2,1,0);
#ifndef NO_D
  run D(3);
#endif
#ifndef NO_R
  run R();
#endif
  }
  (_nr_pr==1);
  assert(o[0].val==gx[gn] && o[1].val==gy[gn]); assert(o[0].owner==0&&o[1].owner==0&&o[0].C==0&&o[1].C==0) }
