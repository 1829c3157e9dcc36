"""The words of the procedural prose: names and phrases by pool, each pool in a part for stories and a part held out.

A pool's first part is what every setting but "ood" draws from; its second part is drawn from in "ood" alone, so that no
entry of it occurs in another split. Entries are inserted as they stand: names of things carry their article.
"""

from __future__ import annotations

from collections.abc import Mapping

Pool = tuple[tuple[str, ...], tuple[str, ...]]


def _pool(known: str, held_out: str) -> Pool:
    """Two parts of a pool from two texts whose entries stand between bars."""
    first, second = (tuple(" ".join(entry.split()) for entry in text.split("|")) for text in (known, held_out))
    if len(set(first + second)) < len(first + second):
        raise ValueError(f"a pool holds an entry twice: {sorted(first + second)}")
    return first, second


WOMEN = _pool(
    """Clara | Edith | Helena | Irma | Louise | Margaret | Nora | Rosalind | Sophie | Agnes | Beatrice | Cecilia | Dorothea |
    Eleanor | Florence | Greta | Hannah | Isabel | Johanna | Katherine | Lydia | Mathilde | Olga | Pauline | Ruth | Teresa
    | Ursula | Victoria | Adela | Bertha""",
    "Winifred | Zelda | Ottilie | Philippa | Saskia | Rowena | Lucinda | Imogen | Harriet | Vivian",
)
MEN = _pool(
    """Albert | Bernard | Charles | Daniel | Edmund | Frederick | George | Henry | Isaac | Jacob | Karl | Leopold | Martin |
    Nicholas | Oscar | Peter | Robert | Samuel | Thomas | Victor | Walter | Anton | Conrad | David | Emil | Franz | Gustav
    | Hugo | Julius | Lorenz""",
    "Quentin | Ambrose | Barnaby | Cornelius | Desmond | Ephraim | Ignatius | Lambert | Mortimer | Rupert",
)
SURNAMES = _pool(
    """Hollis | Marsden | Keller | Lindqvist | Moreau | Novak | Parrish | Quint | Rossi | Sandoval | Tanner | Underhill |
    Vance | Weller | Yates | Abbott | Bright | Carrow | Dunmore | Ellery | Fairbank | Garland | Harker | Ingram | Jessop |
    Kendrick | Lorimer | Mercer | Norwood | Osborne | Pickering | Radcliffe | Stroud | Thorne | Upton | Vasari | Whitlock
    | Ashby | Bellamy | Crane | Dalton | Everard | Forsyth | Gilmore | Haldane | Irving | Kirkland | Lovell | Maitland |
    Neville""",
    """Zimmern | Blackburn | Connolly | Drummond | Eastlake | Fletcher | Griffith | Huxtable | Jardine | Kilbride | Lanyon |
    Montague | Penrose | Ravenhill | Sotheby | Trevelyan""",
)
TOWNS = _pool(
    """Ashford | Brenning | Calder | Dornach | Elsfield | Fenwick | Graz | Halmstad | Ingleby | Jarrow | Kelso | Lindau |
    Marlow | Nantwich | Oldham | Porlock | Quimper | Reading | Stavern | Tiverton | Ulm | Verden | Whitby | Yarmouth |
    Arles | Bruges | Cremona | Delft | Evora | Ghent | Husum | Imola | Kalmar | Leiden | Modena | Narva | Orebro | Parma |
    Ribe | Siena | Tartu | Utrecht | Viborg | Wismar""",
    """Zagreb | Aalborg | Basel | Cuenca | Dubrovnik | Odense | Forli | Girona | Helsinki | Riga | Kuopio | Lugano | Malaga |
    Ostend""",
)
BRANDS = _pool(
    """Falcon | Northgate | Kestrel | Anchor | Beacon | Cedar | Crescent | Diamond | Eagle | Evergreen | Granite | Harbour |
    Jupiter | Lantern | Meridian | Orion | Pelican | Phoenix | Pioneer | Regent | Sterling | Summit | Swan | Union |
    Victory | Western""",
    "Zephyr | Albatross | Basilisk | Cormorant | Gryphon | Hyperion | Nautilus | Osprey | Tamarind",
)
FIRMS = _pool(
    """Ironworks | Brewery | Press | Mill | Glassworks | Shipyard | Pottery | Foundry | Tannery | Railway | Bakery |
    Printworks""",
    "Sawmill | Distillery | Brickworks | Ropeworks",
)
WORK_NAMES = _pool(
    """Saint Oda | Corn Street | Old Harbour | Queen's | Three Lions | Stone Gate | Saint Martin | Upper Ferry | King's |
    Windmill Hill | Swan Island | Castle Street | Long Acre | Fisher Quay | Saint Bride | Weavers'""",
    "Raven Hill | Saint Cuthbert | Lower Weir | Coopers' | Heron Point | Quarry Lane | Tinkers' | Saint Walburga",
)
WORKS = _pool(
    "Bridge | Tower | Theatre | Lighthouse | Library | Chapel | Museum | Market Hall | Observatory | Station",
    "Aqueduct | Granary | Conservatory | Town Hall",
)
RIVERS = _pool(
    """the Tarn | the Wharfe | the Aller | the Brede | the Corrib | the Dove | the Esk | the Fowey | the Gide | the Isar |
    the Lule | the Morava | the Neva | the Orne | the Piave | the Saale""",
    "the Zwalm | the Arun | the Bystrica | the Drava | the Ybbs | the Kolpa",
)
DEVICE_KINDS = _pool(
    """folding | spiral | double | silent | floating | rotary | hanging | portable | electric | hydraulic |
    magnetic | self-winding""",
    "telescopic | pneumatic | reversible | collapsible",
)
DEVICES = _pool(
    "loom | pump | lamp | press | plough | clock | stove | balance | winch | camera | compass | lock | saw | drill",
    "kiln | theodolite | turbine | churn",
)
TRADES = _pool(
    """carpenter | clockmaker | glazier | printer | stonemason | surgeon | chemist | schoolteacher | weaver | engraver |
    apothecary | bookbinder | brewer | draughtsman | gardener | organ builder | pharmacist | saddler | surveyor |
    typesetter""",
    "cartographer | locksmith | ship's carpenter | wheelwright | instrument maker | notary",
)
STUDIES = _pool(
    """law | botany | geology | medicine | astronomy | theology | mathematics | chemistry | drawing | engineering |
    philosophy | music | anatomy | economics""",
    "metallurgy | philology | zoology | hydraulics",
)
PRIZES = _pool(
    """the Copley Medal | the Golden Compass | the Silver Quill | the Order of the Lily | the Harding Prize | the Academy
    Medal | the Laurel Cross | the Founders' Cup | the Rumford Prize | the Blue Ribbon | the Star of Merit | the Weston
    Award""",
    "the Zenith Medal | the Amber Cross | the Bronze Anvil | the Order of the Heron",
)
GOODS = _pool(
    """steam engines | church bells | window glass | sewing machines | oil lamps | writing paper | bicycles | woollen
    blankets | kitchen stoves | ship's chains | leather boots | garden tools | cut crystal | railway wagons | printed
    cotton | pocket watches | copper kettles | school globes | straw hats | roof tiles""",
    "pianos | fire engines | cement | tin toys | lace curtains | fishing nets",
)
TOPICS = _pool(
    """the habits of bees | the history of salt | the stars of the southern sky | the art of bridge building | the cure of
    fevers | old farm songs | the growth of forests | the laws of trade | mountain flowers | the teaching of children |
    the causes of poverty | the making of glass""",
    "deep-sea fish | the theory of music | ancient coins | the care of horses",
)
MATERIALS = _pool(
    """red sandstone | grey granite | cast iron | oak | yellow brick | limestone | white marble | slate | concrete | black
    basalt""",
    "larch | steel | flint | terracotta",
)
USES = _pool(
    """a grain store | a prison | a concert hall | a hospital | a school for orphans | a customs house | a wine cellar | a
    barracks | a weather station | a ballroom | a post office | a fish market""",
    "a mint | a riding school | a tea room | an armoury",
)
PURPOSES = _pool(
    """draining flooded mines | sorting seeds | cutting thin sheets of metal | copying letters | drying hay in wet weather |
    measuring the depth of wells | polishing lenses | lifting heavy stones | cleaning wool | warning ships in fog |
    weighing gold dust | pressing apples""",
    "spinning silk | peeling bark | mapping caves | testing rope",
)
IDEAS = _pool(
    """a toy seen at a village fair | a broken cart wheel | a sketch in an old notebook | the flight of a gull | a leaking
    roof | the teeth of a beaver | a sleepless night at sea | a wager between friends | the shell of a snail | a mistake
    in a drawing""",
    "a spider's web | a child's kite | a frozen gutter | the claws of a crab",
)
CLOSURES = _pool(
    """cheap imports had ruined its trade | the bank refused any further credit | its best workers had gone abroad | a fire
    destroyed the storehouse | the owners could not agree on a successor | the new railway passed it by | its patents had
    run out | the price of coal had doubled | a court ordered it to pay heavy damages | the only road was washed away""",
    """demand had fallen to nothing | an inspector condemned the boilers | its chief customer went bankrupt | lightning
    struck the main hall""",
)
MOVES = _pool(
    """rents there were lower | a relative had left a small house | the doctors advised sea air | the old quarter was to be
    pulled down | a new school had opened there | work had become scarce at home | the border had been closed | an old
    quarrel made life at home bitter | a patron promised free lodging | the winters were milder""",
    "taxes had risen sharply | the harbour had silted up | a choir there needed a leader | the family farm was sold",
)
DEATHS = _pool(
    """pneumonia | a fall from a horse | typhoid fever | a carriage accident | heart failure | a boating accident | lead
    poisoning | an infected wound | scarlet fever | a stroke""",
    "cholera | a gas explosion | snakebite | a climbing accident",
)
DAMAGES = _pool(
    """an earthquake | a spring flood | a careless welder | a runaway barge | a violent storm | a burst boiler | falling
    rocks | stray artillery fire | drifting ice | a lightning strike""",
    "a swarm of termites | subsiding ground | an avalanche | a gas leak",
)
LOANS = _pool(
    """a second furnace | houses for the workers | a private canal | a night school | a larger warehouse | a fleet of
    delivery carts | new looms | a research laboratory | a chimney of brick | a showroom in the capital""",
    "an electric tramway | a sick fund | a crane | a deep well",
)
SOURCES = _pool(
    """a marsh below Mount Hagen | a glacier on the Weisshorn | two springs in the Harden forest | a small lake near the
    frontier | a cave in the limestone hills | the snowfields of the Karr range | a peat bog on the high moor | a spring
    under an abbey""",
    "a crater lake | a crack in the Stolz cliffs | the ponds of the Ester heath | a tunnel of an old mine",
)
NAMINGS = _pool(
    """an old word for otter | a saint who drowned in it | the reddish colour of its mud | a forgotten tribe | a Roman fort
    on its bank | a word for shouting | the alders along its banks | a ferryman of legend""",
    "a Celtic goddess | a word for winding | a lost village | the wolves of its valley",
)


NAMES_TALE_WOMEN = _pool(
    """Marta | Ilse | Anna | Greta | Liesel | Brida | Elin | Katya | Rosa | Maren | Nella | Tilda | Vera | Yana | Dagny |
    Sunniva""",
    "Zora | Ottoline | Perpetua | Isolde | Fenella | Quilla | Ines | Phoebe",
)
NAMES_TALE_MEN = _pool(
    """Tobias | Hans | Ivo | Jory | Lars | Milo | Osric | Pavel | Rolf | Stefan | Till | Ulrich | Wenzel | Boris | Casper |
    Dirk""",
    "Zoltan | Aldous | Balthasar | Fergus | Gawain | Leofric | Peregrine | Torquil",
)
ROLES = _pool(
    """miller | fisher | shepherd | weaver | woodcutter | cook | tailor | beggar | soldier | gardener | baker | ferry keeper
    | potter | goose keeper | charcoal burner | bell ringer | merchant | fiddler | blacksmith | beekeeper""",
    """tinker | falconer | candlemaker | herbalist | mapmaker | ropewalker | glassblower | hunter | basketmaker | wagoner |
    lutenist""",
)
RULERS = _pool("king | queen | duke | judge | mayor | bishop", "emperor | empress | chancellor | abbot")
PLACES = _pool(
    """the old mill | the fishing village | the pine forest | the market town | the palace | the monastery | the salt marsh |
    the mountain pass | the harbour | the ruined tower | the crossroads inn | the royal stables | the island chapel | the
    glass cave | the orchard | the river ford""",
    """the copper mine | the winter camp | the desert well | the drowned abbey | the frozen lake | the hill fort | the beech
    grove | the toll bridge | the sunken garden""",
)
THINGS = _pool(
    """a silver comb | a wooden flute | a golden ring | a red cloak | a copper lamp | an ivory box | a blue feather | a glass
    apple | a rusty key | a velvet purse | a bone needle | an iron horn | a crystal cup | a painted drum | a leather map |
    an old sword | a pearl necklace | a brass mirror | a woven belt | an amber bead | a carved spoon | a black candle""",
    """a jade whistle | a bronze mask | a paper crown | a coral pin | a tin soldier | a marble egg | a small fiddle | a tin
    bell | a bamboo cane | a linen banner | a rag doll | a shell brooch""",
)
SPOTS = _pool(
    """under a loose stone | in a hollow tree | beneath the floor | at the bottom of a well | behind the oven | inside a
    barrel of salt | between two rocks | in a nest of straw | under a bridge | among the nettles | in a torn sack | on top
    of a wardrobe | inside an old boot | beside a milestone | below the stairs | in the thatch of a roof""",
    "inside a beehive | behind a waterfall | in a heap of ashes | under an anvil | within a clay jar | beneath a weathercock",
)
ERRANDS = _pool(
    """to sell wool | to visit an aunt | to look for work | to hear the news of the war | to buy a goat | to pray for rain |
    to collect a debt | to learn a song | to ask for shelter | to watch the wrestling | to gather mushrooms | to mend a
    roof | to deliver a letter | to see a wedding | to fetch a doctor | to settle a bet | to borrow a ladder | to escape
    the heat""",
    """to trade furs | to count the swans | to tune an organ | to hire a boat | to consult a hermit | to dig for clay | to
    taste the cider""",
)
THANKS = _pool(
    """a warm bed | a bowl of soup | a kind word | a night of shelter | a pair of boots | a true answer | a seat by the fire
    | help with the harvest | a song at supper | a safe crossing | a bag of flour | a bandaged hand""",
    "a basket of figs | a lantern in the dark | a week of nursing | a lesson in swimming | a mended sail",
)
MOMENTS = _pool(
    """while everybody was dancing | during a thunderstorm | on the night of the fair | while the dogs were asleep | in the
    middle of the sermon | while the bread was baking | during a game of cards | at the first light of day | while the
    bells were ringing | when the candles had burned out | in the hour of the evening meal | during the sheep washing""",
    "during an eclipse | while the geese were being counted | in the thick of a snowfall | amid the cheering of a parade",
)
DREADS = _pool(
    """the tax collectors were coming | a stranger had asked about it | the lock of the house was broken | wolves had been
    heard nearby | a fortune teller had given a warning | soldiers were searching every house | the neighbours had grown
    curious | a rat had gnawed the chest | a pedlar had looked at it too long | the roof might fall in""",
    "pirates had been sighted | a magpie kept circling the house | the moon had turned red | a censor was on his way",
)
PRICES = _pool(
    """twelve silver coins | a lame donkey | two sacks of barley | a barrel of herring | a pair of pigeons | six hens | a new
    plough | a cask of cider | three yards of linen | a spotted calf | a wheel of cheese | a bundle of firewood""",
    "a crate of oranges | nine jars of honey | a sledge | a keg of tar | a trained hawk",
)
MISFORTUNES = _pool(
    """the flood had carried off all the hay | lightning had burned down the barn | thieves had emptied the cellar | frost
    had killed every seedling | the cow had fallen into a pit | a fever had struck the household | the well had turned
    bitter | hail had broken every window | the landlord had doubled the rent | locusts had eaten the cabbages | a
    rockslide had buried the garden | the bees had flown away""",
    """blight had spoiled the vines | a whirlwind had flattened the shed | moths had ruined the cloth | quicksand had
    swallowed the cart""",
)
SECRETS = _pool(
    """the bridge would not hold | a treasure lay in the churchyard | the wine was poisoned | the prince could not read | the
    bell had a crack | the captain was a coward | winter would come early | the ghost was only a goat | the gate was never
    locked | the gold was painted lead | the giant feared mice | the old song was a map""",
    "the crown was a copy | the comet would return | the statue could weep | the heir was a twin",
)
PROMISES = _pool(
    """to return before the snow | to guard the sheep | to teach the secret song | to share half of the winnings | to build a
    new fence | to keep silent for a year | to name a child after the giver | to bring a branch of the white tree | to
    carry a letter to the coast | to dance at the wedding""",
    "to plant a hundred lindens | to forgive an old insult | to paint the chapel door | to ransom a brother",
)
LABOURS = _pool(
    """pull a cart out of the mud | catch a runaway pig | put out a fire in the chimney | find a lost child | bring in the
    nets | drive off a bear | chop wood for the winter | climb out of a ditch | shear forty sheep | mend a broken wheel |
    carry water to the fields | untangle a great net""",
    "tame a wild falcon | decipher an old letter | dig a well | raise a fallen mast | thaw a frozen pump",
)
OBSTACLES = _pool(
    """a snarling wolf | a swollen stream | a hedge of thorns | a sleeping giant | a fallen tree | a band of robbers | a
    locked gate | a wall of fog | a goose as big as a horse | a rotten bridge""",
    "a field of broken glass | an iron portcullis | a swarm of hornets | a talking statue",
)
MEANS = _pool(
    """singing a lullaby | crawling on both knees | throwing it a piece of cheese | answering a riddle | walking backwards |
    waiting for the moon | building a raft of reeds | blowing out the torch | telling a long joke | pretending to be a
    bishop""",
    "whistling like a lark | burning a pinch of sulphur | tying three knots | wearing a coat inside out",
)
WISHES = _pool(
    """to see the sea | to learn to read | to become a knight | to find a lost brother | to own a white horse | to hear the
    nightingale once more | to sleep without dreams | to sail to the far islands | to be forgiven | to speak with birds |
    to marry for love | to bake a cake for the king""",
    "to chart the northern sky | to grow a blue tulip | to hold a torch in the procession | to wake a sleeping city",
)
DREAMS = _pool(
    """a tree full of lamps | a ship without a crew | a stag with golden horns | a door in the sea | seven crows in a row | a
    loaf of bread that sang | a ladder of ice | a king made of straw | a river running uphill | a moon with two faces""",
    "a chessboard of salt | a whale in the sky | a harp strung with hair | a library on fire",
)
QUARRELS = _pool(
    """the price of a pig | a broken fence | the first dance | an unpaid debt | a stolen kiss | a spilled jug of milk | the
    right way to brew beer | an old insult | the ownership of a goat | the last slice of a pie""",
    "the shape of the earth | a misplaced comma | the colour of a flag | a borrowed umbrella",
)
POWERS = _pool(
    """make any door spring open | call up a wind | turn milk into butter | show the face of a liar | light up the darkest
    night | heal a broken bone | make its owner invisible | bring rain within the hour | put any animal to sleep | find
    the way home""",
    "melt iron like wax | silence a crowd | ripen fruit in winter | hold back the tide",
)
RESULTS = _pool(
    """the guards fell asleep at once | a path opened between the trees | all the clocks began to strike | the snow melted in
    a moment | the dragon flew away | every candle in the house went out | the dead garden burst into bloom | the sea drew
    back from the shore | a hundred birds came flying | the iron gate crumbled into rust | the mist rose and the stars
    came out | the horses began to talk""",
    "a staircase grew out of the rock | the mirrors cracked one by one | the bronze lions roared | a second sun appeared",
)
PUNISHMENTS = _pool(
    """to sweep the stables for a year | to leave the country | to carry stones up the hill | to sleep among the pigs | to
    polish every boot in the army | to stand on one leg all day | to sit in the stocks | to repay it ten times over | to
    wear a donkey's ears | to work in the salt mine""",
    "to count grains of rice | to row the royal galley | to whitewash the walls | to scrub the cauldrons",
)
REWARDS = _pool(
    """a farm by the river | a purse of gold | a seat at the high table | a suit of armour | a white mare | the right to hunt
    in the forest | a house with a green door | a medal on a ribbon | free bread for life | a title and a coat of arms""",
    "a vineyard | a barge with silk sails | the keys of the city | an orchard of pears",
)
TIMES = _pool(
    """a bitter winter | a warm spring morning | the eve of the harvest | a moonless night | a long dry summer | the week of
    the fair | a windy autumn | the longest day of the year | a grey dawn | the feast of lanterns""",
    "a thundery dusk | the night of the comet | the first frost | the month of the leap year",
)
WEATHERS = _pool(
    """the rain drummed on the roofs | a thick fog lay over the fields | the stars were as sharp as pins | the snow reached
    up to the windows | swallows circled in the air | the smell of apples hung in the lanes | the wind howled in the
    chimneys | dust covered every leaf | frogs sang in the ditches | smoke rose straight to the sky""",
    """hailstones bounced on the tiles | fireflies filled the hedges | the northern lights were burning | ice groaned on the
    ponds""",
)
CLOTHES = _pool(
    """a coat with brass buttons | a hat of woven straw | boots that did not match | a patched green jacket | a scarf as long
    as a rope | a shirt of rough linen | a cap with a heron's feather | gloves without fingers | a belt with a silver
    buckle | a cape lined with rabbit fur""",
    "a ruff of lace | spectacles of horn | a waistcoat of velvet | clogs painted yellow",
)
DEEDS = _pool(
    """swept the whole yard | taught the children a game | fed the swans | counted the passing carts | carved a horse out of
    wood | washed in the cold brook | sang for the travellers | mended a pair of shoes | drew a ship on the wall |
    listened to the sermon | slept on a bench | wrote a long letter | peeled a hundred onions | played chess with a
    stranger | climbed the tallest tree | made a soup of roots""",
    "polished an old shield | painted the shutters | juggled with eggs | pressed flowers in a book | tuned a borrowed lute",
)
JOYS = _pool("happy | proud | relieved | thankful | overjoyed", "jubilant | blissful | elated")
GRIEFS = _pool("sad | angry | ashamed | desperate | heartbroken | bitter", "furious | mournful | dejected")

LIKENESS: Mapping[str, str] = {
    "happy": "glad", "proud": "full of pride", "relieved": "eased", "thankful": "grateful", "overjoyed": "very happy",
    "jubilant": "full of joy", "blissful": "perfectly happy", "elated": "very glad", "sad": "unhappy",
    "angry": "full of anger", "ashamed": "full of shame", "desperate": "without hope", "heartbroken": "very sad",
    "bitter": "resentful",
    "furious": "very angry", "mournful": "full of sorrow", "dejected": "downcast",
}  # fmt: skip
"""Another word for each feeling: the second reference of an answer."""

HE = {"f": ("she", "her", "her"), "m": ("he", "his", "him")}
"""Subject, possessive and object form by gender."""

GENDER: Mapping[str, str] = {
    **{name: "f" for pool in (WOMEN, NAMES_TALE_WOMEN) for part in pool for name in part},
    **{name: "m" for pool in (MEN, NAMES_TALE_MEN) for part in pool for name in part},
}
