//! The words by which a task shows how hard it is, in the languages that most calls are in. Apart
//! because they are data: they change without any code.

/// Words that weigh the same, between slashes: how the text of a task may go on from the start of a
/// word, or anywhere in Chinese, which has no spaces. ASCII is in lower case and means either; other
/// letters only themselves. A full stop says that the word ends here: `bye.` is not `byelaw`. None
/// is shorter than three bytes. Of those that fit in one place the longest counts.
pub(super) struct Group {
    /// In hundredths of the score. Below zero: the words speak of an errand.
    pub weight: i8,
    pub words: &'static str,
}

const fn group(weight: i8, words: &'static str) -> Group {
    Group { weight, words }
}

pub(super) const GROUPS: &[Group] = &[
    // English.
    group(45, "prove that/threat model/differential diagnos"),
    group(
        30,
        "prove/proof/show that/derive /theorem/lemma/root cause/deadlock/race condition/\
         invariant/lock-free/memory order/devil's advocate/formally/generalis/generaliz/eigenval/\
         homomorph/np-complete/zero-knowledge",
    ),
    group(25, "deduc/case law/causal/decidab/memory corrupt/least number"),
    group(
        20,
        "architect/design/strateg/algorithm/investigat/diagnos/refactor/correctness/valuation/\
         undecidab/np-hard/garbage collect/state machine/counterexample/compiler/interleaving/\
         corrupt/puzzle/segfault/discriminate between/walk through/walk me through/multi-tenant/\
         converg/stochastic/bayes/consensus/byzantine/convex/quantum/differential equation/\
         litigation/prognos/pathophys",
    ),
    group(18, "analy/assess/concurren/vulnerab/synthes/reconcil"),
    group(
        15,
        "evaluat/critiqu/critical/justif/optimi/distributed/consisten/complexity/liabilit/gdpr/\
         trade-off/failure mode/mitigat/hypothes/minimi/maximi/debug/calcul/migrat/thread-safe/\
         scenario/equilibrium/asymptot/rigorous/explain why/in depth/in-depth/fewest/riddle/\
         crash/data loss/stability/bounded/asymmetr/compliance/roadmap/implications/negotiat/\
         tax implication/comorbid/symptom/replication/transaction/partition/rebalanc/kernel/\
         topolog/manifold/tensor/matrix/theor/paradox/interpret/philosoph/ethic/monte carlo/\
         regression/anomal/tradeoff/bottleneck/backpressure/idempoten",
    ),
    group(
        12,
        "explain/implement/build/constraint/step by step/clause/sensitivity/forecast/review/\
         function/script/bug./interaction/consequence/objection/argument/regulat/legal/evidence/\
         contradict/latency/throughput/concept/research/studies/unless",
    ),
    group(
        10,
        "compar/query/plan./draft/rewrite/outline/component/tests./pros and cons/recommend/risk/\
         security/attack/scal/estimat/algebra/equation/probabilit/kubernetes/docker/endpoint/\
         snippet/compute/itinerary/deployment/side effect/pagina/api./database/server/thread/\
         async/patient/contract/mean,/deviation/statistic/tutorial/guide/presentation/speech/\
         proposal/schedul/budget/troubleshoot/diagram/config/integrat/automat/unit test/schema/\
         parser/paragraph/description/tone/style/persuasive",
    ),
    group(
        8,
        "write/create/improve/adapt/describe/error/fail/unique/find out/propos/develop/edge case/\
         class./story/essay/article/blog/cite/citation/what should/then/which order/neither/\
         study/make me/give me a plan/turn this/add a/what can i do/suggest/ideas/how can i/\
         how should i/advice/help me/compile/walk/convince/table of",
    ),
    group(6, "solution/exactly/possible/either"),
    group(
        5,
        "why/summar/include/must/without/handle/fix/difference/at least/at most/email/letter/\
         steps/section/reason/how does/how do/advise",
    ),
    group(-5, "what's the/what is the/quick/list the/bullet/only/please send/template"),
    group(-8, "short/rhyme/turn off/turn on/when does/is this/can i"),
    group(-10, "hi /hi!/hi,/hello/good morning/translate/sql to/regex/how many/exactly one"),
    group(
        -15,
        "spelling/sentiment/spam/thanks/thank you/bye./emoji/alt text/synonym/capital of/just the/\
         just one/title/rename/small talk/intent./extract/label/convert/uppercase/lowercase/\
         route the/categor/which language",
    ),
    group(
        -20,
        "typo/one line/one sentence/classify/classifier/label only/alphabetical/change nothing/\
         title only/code only",
    ),
    group(-25, "one word/yes or no/single word/just the number"),
    // German.
    group(40, "beweise /beweisen sie"),
    group(30, "beweis/zeige, dass/gutacht"),
    group(25, "rechtsprech/widerleg"),
    group(
        20,
        "entwirf/ursache/nebenläuf/datenmodell/mandantenfähig/haftung/abgrenz/konzept/nachweis/\
         herleit/sicherheitskonzept",
    ),
    group(15, "prüfe/begründ/bewert/entwickle/abwäg/leite "),
    group(12, "erklär/implementier/vorschrift"),
    group(
        10,
        "vergleich/formel/funktion/plane /überarbeit/verfass/juristisch/abfrage/zahlenbeispiel/\
         vertrag/formulier/gestalt/vorschlag/anleitung/datenbank/berechne",
    ),
    group(8, "schreib/erstelle/kündig"),
    group(5, "zusammenfass/fasse/warum/unterschied/berücksichtig"),
    group(-5, "kurz/nur "),
    group(-10, "hallo/übersetze"),
    group(-15, "danke/rechtschreib/tschüss/feierabend/extrahier/hauptstadt"),
    group(-20, "tippfehler/einem satz/klassifizier"),
    group(-25, "ein wort/einem wort/ja oder nein"),
    // French.
    group(40, "démontr/prouve"),
    group(20, "concev/stratég/jurisprud"),
    group(15, "évalu/confront/approfond/défend/élabor/théor/responsabilité/optimal/hypothès/synthès"),
    group(12, "expliqu"),
    group(10, "rédige/reformul/corriger/développ/propose/compte rendu/améliore/paragraphe/contrat"),
    group(8, "écri"),
    group(5, "résum/pourquoi"),
    group(-10, "tradui/c'est quoi"),
    group(-15, "merci/bonjour/salut/au revoir"),
    group(-20, "une phrase/faute"),
    group(-25, "un mot/oui ou non"),
    // Spanish.
    group(40, "demuestr"),
    group(20, "diseñ/estrateg/algoritm/jurispruden"),
    group(15, "evalú/anali/fundament/estabilidad/equilibrio/hipótesis/teorem/justific/elabor"),
    group(12, "explica"),
    group(10, "compara/propon/mejora/contrato/párrafo/calcula/planific/crea "),
    group(8, "escrib/redact/desarroll"),
    group(5, "resum/por qué/diferencia"),
    group(-10, "hola/traduce/traduzc"),
    group(-15, "gracias/ortograf/adiós"),
    group(-20, "una frase/clasific"),
    group(-25, "una palabra/sí o no"),
    // Chinese.
    group(40, "证明/證明/証明"),
    group(30, "推导/反例"),
    group(20, "设计/架构/算法/论证/误差/复杂度/定理/取舍/一致性/分布式/法律/风险"),
    group(18, "分析/并发"),
    group(15, "推广/优化/评估/线程/诊断"),
    group(12, "方案/策略/解释/实现/权衡"),
    group(10, "比较/函数/原因/延迟/讨论/步骤/建议/文章/报告/数据库/改写/计算/制定"),
    group(8, "写/安全/容量/计划/代码/整理/编写"),
    group(5, "总结/为什么/要求/区别"),
    group(-10, "你好/翻译"),
    group(-12, "提取/情感"),
    group(-15, "谢谢/分类/再见"),
    group(-20, "一句话/只回答/错别字"),
    group(-25, "一个词/是或否/一个字"),
];
