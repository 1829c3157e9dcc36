"""What an encyclopedic passage can tell and be asked: people, firms, buildings, rivers, inventions and towns."""

from __future__ import annotations

from reasongym.tasks.prose import lexicon
from reasongym.tasks.prose.frames import Grammar, frame

POOLS = {
    "city": lexicon.TOWNS, "trade": lexicon.TRADES, "study": lexicon.STUDIES, "death": lexicon.DEATHS, "move": lexicon.MOVES,
    "prize": lexicon.PRIZES, "topic": lexicon.TOPICS, "goods": lexicon.GOODS, "loan": lexicon.LOANS,
    "closure": lexicon.CLOSURES,
    "material": lexicon.MATERIALS, "damage": lexicon.DAMAGES, "use": lexicon.USES, "source": lexicon.SOURCES,
    "naming": lexicon.NAMINGS, "purpose": lexicon.PURPOSES, "idea": lexicon.IDEAS,
}  # fmt: skip

LEADS = (
    "by most accounts, ", "as far as is known, ", "according to old records, ", "it is said that ",
    "local historians agree that ",
    "there is no doubt that ", "one should add that ", "as can still be read in the archives, ",
)  # fmt: skip
TAILS = (
    ", as many still remember", ", although few people noticed it at first", ", to the surprise of the neighbours",
    ", and nobody doubted it", ", as the old letters show", ", which was the talk of the region for weeks",
    ", a fact that visitors like to hear", ", though the details are disputed",
)  # fmt: skip

PERSON = (
    frame(
        "born", "person city year",
        "{=person} was born in {city} in {year}~.",
        "{=person} came into the world at {city} in {year}, the youngest of a large family.",
        "{=person} grew up in {city}, where {his} parents had settled shortly before {his} birth in {year}.",
        "{=person} first saw the light of day in {year}, in a narrow house near the market of {city}.",
        asks={
            "city: where": ("What is the birthplace of {person}?", "Which town does {person} come from?",
                            "Where did {person} spend the first years of life?", "Of what town was {person} a native?"),
            "year: when": ("In what year was {person} born?", "When did the life of {person} begin?",
                           "What is the date of birth of {person}?"),
        },
        phrases={"city": ("the home town of {person}", "the town in which {person} was born")},
    ),
    frame(
        "trained", "person trade city",
        "{=person} served an apprenticeship as {a trade} in {city}~.",
        "in {city}, {=person} spent four hard years learning to be {a trade}.",
        "before anything else {=person} earned a living as {a trade}, mostly in the back streets of {city}.",
        "having been sent to {city} by an uncle, {=person} qualified there as {a trade}~.",
        asks={
            "trade: what": ("What was the original profession of {person}?", "Which craft did {person} master first?",
                            "What kind of work was {person} first taught to do?"),
            "city: where": ("Where was {person} taught a craft?", "In which town did {person} pick up a profession?"),
        },
    ),
    frame(
        "studied", "person study city",
        "{=person} read {study} at the college of {city}, but left without a degree.",
        "at {city}, {=person} attended lectures on {study}~.",
        "a small legacy allowed {=person} to take up {study} at the academy of {city}.",
        "{=person} enrolled in {city} to pursue {study}, which {he} loved more than anything else.",
        asks={
            "study: what": ("Which subject was {person} a student of?",
                "What field did {person} choose for higher education?",
                            "In what discipline did {person} receive academic teaching?"),
            "city: where": ("Where did {person} go to university?", "In which town was {person} a student?"),
        },
        phrases={"city": ("the university town of {person}",)},
    ),
    frame(
        "married", "person person2 year",
        "in {year} {=person} married {person2}, with whom {he} had three children.",
        "{=person} and {person2} were wed in {year}~.",
        "a quiet ceremony in {year} made {person2} the spouse of {person}.",
        "{=person} became engaged to {person2} during a concert, and the wedding followed in {year}.",
        asks={
            "person2: who": ("To whom was {person} wed?", "Who became the husband or wife of {person}?",
                             "With whom did {person} share a home and family?"),
            "year: when": ("In which year did {person} marry?", "When did {person} start married life?"),
        },
        phrases={"person2": ("the spouse of {person}", "the person whom {person} married")},
        mutual=True,
    ),
    frame(
        "died", "person year death",
        "{=person} died of {death} in {year}~.",
        "in {year}, {death} put an end to {person's} life.",
        "{=person} was hard at work as ever when {death} killed {him} in {year}.",
        "{death}, for which no help was at hand, carried {person} off in {year}.",
        asks={
            "death: why": ("What caused the death of {person}?", "Of what did {person} die?",
                           "To what did {person} finally fall victim?"),
            "year: when": ("When did {person} die?", "In what year was {person} buried?",
                "In what year did {person} pass away?"),
        },
    ),
    frame(
        "emigrated", "person city year move",
        "because {move}, {=person} settled in {city} in {year}.",
        "{=person} took up residence in {city} in {year}, since {move}.",
        "in {year} {=person} packed up and left for {city}; the reason was that {move}.",
        "{city} became {person's} home in {year}, after {move}.",
        asks={
            "city: where": ("To which town did {person} move?", "Where did {person} go to live as an adult?"),
            "move: why": ("Why did {person} move house?", "For what reason did {person} change {his} place of abode?"),
            "year: when": ("When did {person} move to another town?",),
        },
        phrases={"city": ("the town to which {person} moved",)},
    ),
    frame(
        "honoured", "person prize year",
        "{=person} received {prize} in {year}~.",
        "{prize} went to {person} in {year}, after two earlier refusals.",
        "in {year} a committee of scholars honoured {person} with {prize}.",
        "{person's} merits were rewarded in {year}, when {he} was presented with {prize}.",
        asks={
            "prize: what": ("Which award did {person} win?", "What distinction was given to {person}?",
                            "With what was {person} decorated?"),
            "year: when": ("When did {person} win an award?", "In which year was {person} decorated?"),
        },
    ),
    frame(
        "wrote", "person topic year",
        "{=person} published a treatise on {topic} in {year}~.",
        "{person's} book about {topic} appeared in {year} and went through five editions.",
        "in {year} {=person} brought out a volume on {topic}, printed at {his} own expense.",
        "{topic} filled the only work that {=person} ever finished, which came out in {year}.",
        asks={
            "topic: what": ("What did {person} write about?", "What is the subject of the text that {person} left behind?",
                            "On what matter was {person} an author?"),
            "year: when": ("When was the text by {person} printed?",
                "In what year did readers first see the writings of {person}?"),
        },
    ),
)  # fmt: skip

ORG = (
    frame(
        "founded", "org person year",
        "{=org} was founded by {person} in {year}~.",
        "in {year} {person} established {org} with borrowed money.",
        "it was {person} who called {org} into being in {year}, in a rented shed.",
        "{=org} goes back to {person}, who opened its doors in {year}.",
        asks={
            "person: who": ("Who set up {org}?", "Who started {org}?", "To whom does {org} owe its existence?",
                            "Who set up {org} in {year}?", "By whom was {org} created in {year}?"),
            "year: when": ("When was {org} set up?", "In which year did {org} come into existence?",
                "Since when has there been {org}?"),
            "org: which": ("Which business was started by {person}?", "What enterprise did {person} set up?"),
        },
        phrases={"person": ("the founder of {org}", "the person who set up {org}"),
                 "org": ("the business started by {person}", "the firm that {person} set up")},
    ),
    frame(
        "not founded", "org person",
        "contrary to what guidebooks say, {person} had no part in founding {org}.",
        "the claim that {org} was established by {person} has been shown to be false.",
        "{=org} was not, as is often believed, the creation of {person}.",
    ),
    frame(
        "first seat", "org city year",
        "{=org} opened its first premises at {city} in {year}~.",
        "its original building stood in {city}, and {org} kept it from {year} on.",
        "in {year} {=org} took over an empty warehouse in {city}.",
        state=("seat", "org", "city"),
    ),
    frame(
        "relocated", "org city city2 year",
        "in {year} {=org} gave up its rooms in {city2} and transferred everything to {city}.",
        "{=org} left {city2} for {city} in {year}~.",
        "all machines were carted from {city2} to {city} in {year}, and {org} began anew there.",
        asks={
            "city: where": ("Where did {org} go from {city2}?",
                            "Which town took in {org} after {city2}?"),
            "year: when": ("When did {org} change towns?",),
            "city2: where": ("From which town did {org} move to {city}?",),
        },
        state=("seat", "org", "city"),
    ),
    frame(
        "seat", "org city",
        asks={"city: where": ("Where did {org} finally have its seat?", "In which town was {org} based in the end?",
                              "What was the last known location of {org}?")},
    ),
    frame(
        "succeeded", "org person person2 year",
        "in {year} {person2} handed the management of {org} over to {person}.",
        "{=org} passed from {person2} into the hands of {person} in {year}~.",
        "{person} took charge of {org} in {year}, when {person2} grew tired of it.",
        asks={
            "person: who": ("Who ran {org} after {person2}?", "Who followed {person2} as director of {org}?",
                            "Whom did {person2} leave {org} to?"),
            "person2: who": ("Who directed {org} before {person} did?", "Whose successor at {org} was {person}?"),
            "year: when": ("When did {org} get a new director?",),
        },
        phrases={"person": ("the second director of {org}", "the person to whom {org} was handed over")},
    ),
    frame(
        "made", "org goods",
        "{=org} turned out {goods}, which were sold as far away as Egypt.",
        "{goods} were what {=org} was best known for~.",
        "most of the income of {org} came from {goods}.",
        "customers valued {org} for {goods} of unusual quality.",
        asks={
            "goods: what": ("What did {org} produce?", "Which wares did {org} bring to market?",
                            "What sort of articles were manufactured by {org}?"),
        },
    ),
    frame(
        "staff", "org number year",
        "by {year} {=org} gave work to {number} people~.",
        "{=org} had {number} hands on its payroll in {year}.",
        "the books of {year} list {number} men and women in the service of {org}.",
        asks={
            "number: how many": ("How many workers did {org} employ?", "What was the size of the workforce of {org}?",
                                 "How large was the staff of {org} in {year}?",
                                 "How many employees did {org} count in {year}?"),
            "year: when": ("When did {org} have {number} employees?",),
        },
    ),
    frame(
        "loan", "org amount loan",
        "the town council lent {org} {amount} crowns for {loan}.",
        "{=org} borrowed {amount} crowns in order to pay for {loan}~.",
        "{loan} cost {org} {amount} crowns, all of them on credit.",
        asks={
            "amount: how many": ("How much money did {org} take up?", "How large was the debt of {org}, in crowns?",
                                 "What sum did {org} owe its lenders?"),
            "loan: what": ("What did {org} spend the borrowed money on?", "Why did {org} need a loan?",
                           "What was financed with the debt of {org}?"),
        },
    ),
    frame(
        "closed", "org year closure",
        "{=org} shut its gates in {year} because {closure}.",
        "in {year} {=org} had to be wound up, for {closure}.",
        "since {closure}, {=org} went out of business in {year}~.",
        asks={
            "closure: why": ("Why did {org} come to an end?", "What brought about the end of {org}?",
                             "For what reason does {org} no longer exist?", "What ruined {org} in {year}?"),
            "year: when": ("When did {org} cease to exist?", "In what year was {org} given up?"),
        },
    ),
)  # fmt: skip

WORK = (
    frame(
        "designed", "work person year",
        "{=work} was designed by {person} in {year}~.",
        "the plans for {work} were drawn up by {person} in {year}.",
        "in {year} a jury chose {person's} drawings for {work}.",
        "{=work} is the best known creation of {person}, who finished the model of it in {year}.",
        asks={
            "person: who": ("Who was the architect of {work}?", "Whose ideas gave {work} its shape?",
                            "Who worked out how {work} should look?", "Who was named architect of {work} in {year}?"),
            "year: when": ("When did {work} exist on paper?", "From which year do the blueprints of {work} date?"),
            "work: which": ("Of which building was {person} the architect?",),
        },
        phrases={"person": ("the architect of {work}", "the person who planned {work}"),
                 "work": ("the building planned by {person}",)},
    ),
    frame(
        "not designed", "work person",
        "{person}, whose name is on a plaque there, did not in fact design {work}.",
        "drawings for {work} were also sent in by {person}, but they were rejected.",
        "{=work} has wrongly been credited to {person}.",
    ),
    frame(
        "stands", "work city material",
        "{=work} stands in {city} and consists mainly of {material}.",
        "built of {material}, {=work} dominates the skyline of {city}.",
        "visitors to {city} can hardly miss {work}, whose walls are {material}~.",
        asks={
            "city: where": ("Where can {work} be found?", "In which town is {work} located?",
                "What is the location of {work}?"),
            "material: what": ("What is {work} made of?", "Which building material was used for {work}?",
                               "Out of what was {work} constructed?"),
        },
        phrases={"city": ("the town where {work} is found", "the location of {work}")},
    ),
    frame(
        "cost", "work amount person",
        "{person} paid {amount} crowns for {work} out of {his} own pocket.",
        "of the expense for {work}, {amount} crowns came from {person}~.",
        "{=work} swallowed {amount} crowns, a gift of {person}.",
        asks={
            "amount: how many": ("How much did {work} cost, in crowns?", "What was the price of {work}?",
                                 "What sum was needed to construct {work}?"),
            "person: who": ("Who financed {work}?", "Whose money made {work} possible?", "Who was the sponsor of {work}?"),
        },
        phrases={"person": ("the sponsor of {work}", "the person who financed {work}")},
    ),
    frame(
        "height", "work number",
        "{=work} rises {number} feet above the ground~.",
        "at its highest point {=work} measures {number} feet.",
        "one has to look up {number} feet to see the top of {work}.",
        asks={"number: how many": ("How tall is {work}?", "What is the height of {work} in feet?",
            "How high does {work} reach?")},
    ),
    frame(
        "damaged", "work damage year",
        "in {year} {damage} left {work} in ruins.",
        "{=work} was badly hit by {damage} in {year}~.",
        "{damage} tore a hole into {work} in {year}, and it stood empty for months.",
        asks={
            "damage: why": ("What wrecked {work}?", "What harmed {work}?", "What caused the destruction of {work}?",
                            "What happened to {work} in {year}?"),
            "year: when": ("When did {work} suffer harm?", "In what year was {work} wrecked?"),
        },
    ),
    frame(
        "rebuilt", "work person year",
        "{person} restored {work} in {year}, using old photographs.",
        "it took until {year} before {work} was put up again under {person}.",
        "{=work} owes its present form to {person}, who repaired it in {year}~.",
        asks={
            "person: who": ("Who was in charge of the reconstruction of {work}?", "Who rebuilt {work}?",
                            "By whom was {work} renovated?"),
            "year: when": ("When was {work} reconstructed?", "In which year did the renovation of {work} take place?"),
        },
        phrases={"person": ("the person who renovated {work}", "the person behind the reconstruction of {work}")},
    ),
    frame(
        "used", "work use use2 year",
        "{=work} served as {use2} until {year}, when it was turned into {use}.",
        "in {year} {=work} ceased to be {use2} and became {use}~.",
        "what had been {use2} was converted in {year}: {work} has been {use} ever since.",
        asks={
            "use2: what": ("What was {work} before it became {use}?", "What was {work} originally used for?",
                           "Which purpose did {work} have at first?"),
            "use: what": ("What is {work} used for now?", "What did {work} become after it had been {use2}?",
                          "What is the present function of {work}?"),
            "year: when": ("When did {work} get a new function?",),
        },
    ),
)  # fmt: skip

RIVER = (
    frame(
        "flows", "river city number",
        "{=river} flows through {city}, where it is {number} feet wide.",
        "on its way to the coast {=river} passes {city}, with a width of {number} feet there.",
        "{city} lies on {river}, which spreads to {number} feet at the quay~.",
        asks={
            "city: where": ("Which town does {river} run through?", "What town is situated on the banks of {river}?"),
            "number: how many": ("How broad is {river} in town?",
                "How many feet is it from one bank of {river} to the other?"),
        },
        phrases={"city": ("the town on the banks of {river}", "the town that {river} runs through")},
    ),
    frame(
        "rises", "river source",
        "the water of {river} comes from {source}~.",
        "{source} feeds {river} all the year round.",
        "explorers followed {river} up to {source}, where it begins.",
        asks={"source: where": ("What is the source of {river}?", "Where does {river} rise?",
            "Where does {river} start its course?")},
    ),
    frame(
        "length", "river number",
        "over its {number} miles {=river} falls by very little~.",
        "a boat has to cover {number} miles to travel all of {river}.",
        "{=river} winds its way for {number} miles.",
        asks={"number: how many": ("How long is {river}?", "What is the length of {river} in miles?")},
    ),
    frame(
        "flooded", "river year number",
        "when {river} burst its banks in {year}, {number} houses were lost.",
        "in {year} {=river} swept away {number} houses overnight.",
        "{number} houses disappeared in {year} because {river} had risen too fast~.",
        asks={
            "number: how many": ("How many homes did {river} destroy?",
                "How many dwellings fell victim to a flood of {river}?"),
            "year: when": ("When did {river} flood the land?", "In what year was there a flood of {river}?"),
        },
    ),
    frame(
        "dammed", "river person year",
        "{person} put a dam across {river} in {year}~.",
        "since {year} a weir by {person} has held back {river}.",
        "in {year} {=river} was tamed by {person}, who had studied it for a decade.",
        asks={
            "person: who": ("Which engineer controlled {river}?", "Who built a barrier in {river}?",
                            "Which engineer stopped the waters of {river} in {year}?"),
            "year: when": ("When was {river} brought under control?", "In what year did {river} get a barrier?"),
        },
        phrases={"person": ("the engineer who controlled {river}", "the builder of the barrier in {river}")},
    ),
    frame(
        "named", "river naming",
        "the name of {river} is said to recall {naming}.",
        "{=river} is called so after {naming}~.",
        "behind the name of {river} some see {naming}.",
        asks={"naming: why": ("What does the name of {river} go back to?", "Why does {river} bear its name?",
                              "What is the origin of what {river} is called?")},
    ),
)  # fmt: skip

DEVICE = (
    frame(
        "invented", "device person year",
        "{=device} was invented by {person} in {year}~.",
        "{person} built the first working model of {device} in {year}.",
        "in {year} {person} obtained a patent for {device}.",
        "the idea of {device} goes back to {person}, who tried it out in {year}.",
        asks={
            "person: who": ("Who came up with {device}?", "Who is the creator of {device}?",
                "To whose mind do we owe {device}?",
                            "Who first constructed {device} in {year}?"),
            "year: when": ("When did {device} first see use?", "From which year is {device}?"),
            "device: which": ("Which machine did {person} come up with?", "What was created by {person}?"),
        },
        phrases={"person": ("the inventor of {device}", "the person who came up with {device}"),
                 "device": ("the machine that {person} came up with",)},
    ),
    frame(
        "not invented", "device person",
        "{person} is sometimes named as the inventor of {device}, but only improved a screw of it.",
        "a court found that {person} had not invented {device} at all.",
        "the patent for {device} was refused to {person}.",
    ),
    frame(
        "purpose", "device purpose",
        "{=device} was meant for {purpose}~.",
        "with {device}, {purpose} became child's play.",
        "{purpose} was the task that {device} took over from tired hands.",
        asks={
            "purpose: what": ("What was {device} used for?", "Which job did {device} do?",
                "What is the function of {device}?"),
        },
    ),
    frame(
        "maker", "device org",
        "{=device} was put on the market by {org}.",
        "{org} acquired all rights in {device}~.",
        "only {org} was allowed to build and sell {device}.",
        asks={"org: who": ("Which company manufactured {device}?", "What firm produced {device}?",
                           "From which company could {device} be ordered?")},
        phrases={"org": ("the company that manufactured {device}", "the producer of {device}")},
    ),
    frame(
        "price", "device amount",
        "a catalogue offered {device} for {amount} crowns~.",
        "whoever wanted {device} had to part with {amount} crowns.",
        "at {amount} crowns {=device} was beyond the means of most farmers.",
        asks={"amount: how many": ("How much did {device} cost?", "What was the price of {device}?",
                                   "What sum did one pay for {device}?")},
    ),
    frame(
        "idea", "device idea",
        "the thought of {device} was born from {idea}.",
        "{=device} was inspired by {idea}~.",
        "it was {idea} that led to {device}.",
        asks={"idea: why": ("What gave rise to {device}?", "What suggested the principle of {device}?",
                            "Where did the notion behind {device} come from?")},
    ),
    frame(
        "shown", "device city year",
        "crowds in {city} saw {device} at the fair of {year}.",
        "{=device} was demonstrated at {city} in {year}~.",
        "in {year} {=device} travelled to an exhibition in {city}.",
        asks={
            "city: where": ("Where was {device} put on display?", "In which town was {device} presented to the public?"),
            "year: when": ("When was {device} put on display?", "In what year could the public look at {device}?"),
        },
        phrases={"city": ("the town where {device} was put on display",)},
    ),
)  # fmt: skip

CITY = (
    frame(
        "people", "city number year",
        "{=city} had {number} inhabitants in {year}~.",
        "a count made in {year} found {number} souls within the walls of {city}.",
        "by {year} {=city} had grown to {number} residents.",
        asks={
            "number: how many": ("How many people lived in {city}?", "What was the population of {city}?",
                                 "How many citizens did {city} have in {year}?"),
            "year: when": ("When was the population of {city} counted?",),
        },
    ),
    frame(
        "trade", "city goods",
        "merchants came to {city} for its {goods}.",
        "{=city} owed its wealth to {goods}~.",
        "the fame of {city} rested upon {goods}.",
        asks={"goods: what": ("What was {city} famous for?", "Which products made {city} rich?",
                              "What was the main export of {city}?")},
    ),
    frame(
        "mayor", "city person year",
        "the mayor of {city} was {person}, elected in {year}.",
        "in {year} the citizens of {city} voted {person} into the town hall~.",
        "{person} headed the town council of {city} from {year} on.",
        asks={
            "person: who": ("Who governed {city}?", "Who was at the head of {city}?",
                "Whom did the people of {city} make their leader?"),
            "year: when": ("When did {city} get a new leader?",),
        },
        phrases={"person": ("the leader of {city}", "the person who governed {city}")},
    ),
)  # fmt: skip

PASSAGES = Grammar((*PERSON, *ORG, *WORK, *RIVER, *DEVICE, *CITY), POOLS, leads=LEADS, tails=TAILS)
