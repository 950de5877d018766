"""Places, rooms, streets, shops, and the parts made-up companies and products are built from."""

from ..core import lexicon

CITY = lexicon("""
Aarhus, Accra, Adelaide, Alexandria, Algiers, Amman, Amsterdam, Ankara, Antwerp, Athens, Auckland, Baku, Bangalore
Bangkok, Barcelona, Basel, Belfast, Bergen, Berlin, Bern, Bilbao, Bogota, Bologna, Bordeaux, Boston, Bratislava
Brighton, Brisbane, Bristol, Brussels, Bucharest, Budapest, Cairo, Calgary, Cambridge, Cape Town, Cardiff
Casablanca, Chicago, Cologne, Copenhagen, Cork, Dakar, Dallas, Damascus, Delhi, Denver, Dhaka, Doha, Dresden, Dubai
Dublin, Durban, Edinburgh, Exeter, Florence, Frankfurt, Galway, Gdansk, Geneva, Genoa, Ghent, Glasgow, Granada, Graz
Halifax, Hamburg, Hanoi, Havana, Helsinki, Hobart, Istanbul, Izmir, Jakarta, Johannesburg, Kampala, Karachi
Kathmandu, Khartoum, Krakow, Kyoto, Lagos, Lahore, Leeds, Leipzig, Lille, Lima, Lisbon, Liverpool, Ljubljana, London
Lucerne, Lusaka, Lyon, Madrid, Malaga, Manchester, Manila, Marseille, Melbourne, Milan, Minsk, Mombasa, Montreal
Moscow, Mumbai, Munich, Nairobi, Nantes, Naples, Nice, Nicosia, Norwich, Osaka, Oslo, Ottawa, Oxford, Palermo, Paris
Perth, Pisa, Plymouth, Porto, Prague, Pretoria, Quebec, Quito, Reykjavik, Riga, Rome, Rotterdam, Salzburg, Santiago
Sarajevo, Seattle, Seoul, Seville, Shanghai, Sheffield, Singapore, Sofia, Split, Stockholm, Sydney, Tallinn, Tbilisi
Tehran, Tokyo, Toronto, Toulouse, Trieste, Tunis, Turin, Utrecht, Valencia, Vancouver, Venice, Vienna, Vilnius
Warsaw, Wellington, Winnipeg, York, Zagreb, Zurich
""")

VENUE = lexicon("""
airport, archive, art gallery, aquarium, bakery, bank, barn, beach, bookshop, bridge, bus station, butcher's, cafe
campsite, canteen, car park, castle, cathedral, cinema, clinic, college, community hall, concert hall, corner shop
courthouse, dentist's, dock, embassy, factory, farm, ferry terminal, fire station, fish market, florist's
forest hut, garage, garden centre, gym, harbour, hardware shop, health centre, hospital, hostel, hotel, ice rink
laundrette, library, lighthouse, market square, mill, museum, music school, nursery, observatory, office
old town hall, opera house, orchard, park, pharmacy, pier, playground, police station, pool, port, post office, pub
quarry, railway station, restaurant, sawmill, school, ski lodge, sports centre, stadium, swimming pool, tea room
temple, theatre, town hall, toy shop, university, vineyard, warehouse, workshop, zoo
""")

ROOM = lexicon("""
attic, back office, ballroom, basement, bathroom, bedroom, boardroom, boiler room, canteen kitchen, cellar, chapel
classroom, cloakroom, conference room, conservatory, control room, corridor, courtyard, dining room, dormitory
garage loft, garden shed, greenhouse, guest room, hall, hallway, hayloft, kitchen, laboratory, landing, larder
laundry room, lecture hall, library corner, living room, lobby, locker room, lounge, mail room, meeting room
music room, nursery room, pantry, patio, playroom, porch, reading room, reception, roof terrace, rose garden
scullery, server room, spare room, stable, stairwell, stockroom, storeroom, studio, study, sunroom, utility room
vault, veranda, waiting room, wine cellar, wood store
""")

STREET = lexicon("""
Abbey Road, Acorn Close, Alder Way, Ash Grove, Baker's Row, Beech Avenue, Bell Lane, Birch Street, Bridge Street
Brook Lane, Canal Walk, Castle Street, Cedar Drive, Chapel Hill, Cherry Lane, Church Road, Clay Street, Cliff Road
Clover Court, Cobbler's Yard, Copper Street, Crescent Road, Dock Road, Duke Street, Elm Street, Fern Close
Ferry Lane, Field View, Forge Lane, Fountain Square, Garden Row, Gate Street, Granary Wharf, Green Lane
Harbour Street, Hawthorn Road, Hazel Close, Heath Road, High Street, Hill Rise, Holly Road, Honeysuckle Way
Iron Lane, Juniper Court, King's Road, Kiln Lane, Lake View, Larch Avenue, Laurel Street, Lime Walk, Linden Street
Lock Street, Maple Avenue, Market Place, Meadow Lane, Mill Road, Millstone Way, Moor Lane, Mulberry Street
North Parade, Oak Street, Old Mill Lane, Orchard Road, Park Avenue, Pine Close, Poplar Road, Potter's Lane
Prospect Row, Quarry Road, Queen Street, Rectory Lane, Ridge Road, River Walk, Rope Walk, Rose Terrace, Rowan Drive
Saddler Street, Sand Lane, School Lane, Sea Road, Silver Street, South Bank, Spring Gardens, Station Road
Stone Street, Sycamore Way, Tanner's Row, Temple Street, Thistle Lane, Tower Hill, Valley Road, Vine Street
Wagon Lane, Walnut Grove, Water Lane, Well Street, Wharf Road, Willow Avenue, Windmill Lane, Wood Street
Yew Tree Close
""")

BRAND_HEAD = lexicon("""
Alder, Amber, Apex, Arrow, Aster, Atlas, Aurora, Beacon, Birch, Blue, Bolt, Bramble, Bright, Cairn, Cedar, Cinder
Clear, Cobalt, Comet, Copper, Crest, Delta, Drift, Dune, Eagle, Ember, Ever, Fable, Falcon, Fern, Flint, Forge, Fox
Garnet, Glen, Gold, Granite, Green, Grove, Harbor, Haven, Hazel, High, Hollow, Iron, Ivy, Jade, Juniper, Kestrel
Lark, Linden, Lumen, Lunar, Maple, Marlin, Meadow, Mira, Moss, Nimbus, Nord, Nova, Oak, Ocean, Onyx, Opal, Orbit
Osprey, Otter, Pebble, Pine, Polar, Prism, Quartz, Quill, Raven, Red, Ridge, River, Rook, Rowan, Sable, Salt, Silver
Sky, Slate, Solar, Spruce, Star, Stone, Storm, Summit, Swift, Terra, Thistle, Tide, Timber, Topaz, True, Umber, Vale
Vega, Vista, Wave, Willow, Wind, Wren, Zenith, Zephyr
""")

BRAND_TAIL = lexicon("""
Analytics, Bakery, Bank, Books, Brothers, Builders, Cargo, Catering, Clinic, Coffee, Collective, Consulting
Couriers, Cycles, Dairy, Design, Energy, Engineering, Farms, Foods, Freight, Furniture, Glass, Group, Hardware
Hotels, Industries, Instruments, Insurance, Kitchens, Labs, Logistics, Lumber, Machines, Media, Motors, Music
Optics, Outdoors, Paper, Partners, Pharmacy, Press, Printing, Properties, Rail, Records, Robotics, Shipping
Software, Sports, Stores, Studio, Supplies, Systems, Tea, Textiles, Tools, Toys, Trading, Travel, Water, Wines
Works
""")

GOODS_TAIL = lexicon("""
backpack, blender, boots, camera, chair, charger, coat, cooler, desk, drill, dryer, earbuds, flask, grill, hammock
headphones, heater, helmet, jacket, kettle, keyboard, knife set, mattress, microphone, monitor, mower, oven, pan
pen, phone case, pillow, printer, projector, raincoat, razor, router, saddle, scale, scooter, sewing machine, shoes
sleeping bag, speaker, stove, stroller, suitcase, tablet, tent, toaster, tripod, umbrella, watch, webcam
""")
